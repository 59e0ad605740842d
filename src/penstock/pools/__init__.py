"""The ways to run jobs at the same time, one file each, and the table of their names."""
