"""The dialect of PostgREST that the functions and their tests use, executed as SQL."""
