"""Penstock beside its peers: the same job, brokers and durability, in turn, in one run."""
