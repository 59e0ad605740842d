"""The machine's half: a supervisor, its processes, and what each of them does with a job."""
