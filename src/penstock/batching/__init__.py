"""Many jobs in one call: collecting them, calling with them, and writing them into sinks."""
