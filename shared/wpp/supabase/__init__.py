"""Supabase as the functions use it: who calls (Auth) and what is stored (PostgREST)."""
