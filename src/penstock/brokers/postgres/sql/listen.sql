-- Hear of new work.
listen "penstock"
