"""Outgoing HTTP: one `requests` adapter with its pools per process, bounded in time, size and direction."""

import warnings

# A build for Lambda leaves out what guesses the encoding of texts: all of ours is JSON.
warnings.filterwarnings("ignore", "Unable to find acceptable character detection dependency")
