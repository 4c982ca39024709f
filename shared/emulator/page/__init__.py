"""The connect page that `make run` serves at `/`: a person's way through the functions, and switches for what goes wrong."""
