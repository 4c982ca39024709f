"""What `make check-supabase` looks at, by noun. Each check returns an Outcome, or raises WppError."""
