"""The sink on PostgreSQL."""
