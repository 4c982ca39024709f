"""What ships the functions."""
