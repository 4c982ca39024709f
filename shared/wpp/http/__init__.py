"""Outgoing HTTP: one `requests` adapter with its pools per process, bounded in time and size, without redirects."""
