"""The sink on MongoDB."""
