"""The pure half: values and decisions, with no I/O, no threads and no clock."""
