"""The peers' half, one module each, run by each peer's own interpreter: how a job is declared, and how jobs go in."""
