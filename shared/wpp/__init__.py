"""Gives each organization of a Supabase product its one client on WPP Platform.

Plain values are NamedTuples where they would be frozen dataclasses elsewhere: those take half a millisecond each to define,
at every cold start."""
