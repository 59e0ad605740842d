"""What `penstock worker chaos_target:app` runs: the tasks of the chaos tests, told by the environment where they are."""

import os

from chaos_app import make

app = make(os.environ["CHAOS_URL"], os.environ["CHAOS_LOG"])
