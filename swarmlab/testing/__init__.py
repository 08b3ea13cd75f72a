"""Card to come."""
