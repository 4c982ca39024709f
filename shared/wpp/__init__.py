"""Gives each organization of a Supabase product its one client on WPP Platform.

Plain values are NamedTuples or small classes where they would be dataclasses elsewhere: those take 0.2 ms each to define,
at every cold start."""
