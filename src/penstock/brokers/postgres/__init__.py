"""The broker on PostgreSQL."""
