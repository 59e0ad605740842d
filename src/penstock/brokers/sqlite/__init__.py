"""The broker on SQLite."""
