"""What a broker and a sink of the same database share: connecting, locking, errors, statements, migrations."""
