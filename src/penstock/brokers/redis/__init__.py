"""The broker on Redis, and on what speaks as it does."""
