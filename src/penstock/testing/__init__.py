"""For tests: the contract that every broker keeps, and fixtures for programs that use Penstock."""
