"""A Supabase: Auth, PostgREST on SQLite, and the gateway in front of them."""
