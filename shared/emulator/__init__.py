"""A local Supabase and a local WPP Platform: ordinary servers on real ports, with controls for tests."""
