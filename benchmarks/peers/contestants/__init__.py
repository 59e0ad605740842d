"""Who takes part, one module each: how a peer is installed, how its worker is started, and what was chosen for it."""
