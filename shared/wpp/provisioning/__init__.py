"""The use case: exactly one client per organization, from claim to saved key to started session."""
