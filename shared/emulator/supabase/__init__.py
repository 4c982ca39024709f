"""A Supabase: Auth, PostgREST on PostgreSQL, and the gateway in front of them."""
