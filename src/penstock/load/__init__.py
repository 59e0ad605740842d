"""From a file to a queue: sources, and the slices they are read in."""
