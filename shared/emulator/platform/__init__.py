"""A WPP Platform that behaves as the real one was observed to."""
