"""A load that goes on for an hour, watched from outside: nothing may grow that does not come back."""
