"""Gives each organization of a Supabase product its one client on WPP Platform."""
