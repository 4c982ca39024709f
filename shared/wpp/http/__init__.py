"""Outgoing HTTP: one pooled `requests` session per process, bounded in time, size and direction."""
