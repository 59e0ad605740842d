"""The broker on MongoDB."""
