"""A real PostgreSQL for the emulated Supabase: a server that starts by itself, or one's own by DATABASE_URL."""
