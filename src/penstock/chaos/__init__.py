"""A trial of a user's own store: jobs run on it while their workers are killed, frozen and cut off, and are counted from outside."""
