-- Hear of jobs that have ended.
listen "penstock:ends"
