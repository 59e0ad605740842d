"""The sink on SQLite."""
