"""What `penstock worker chaos_batches:app` runs: a sink, told by the environment where it is."""

import os

from penstock import Penstock

app = Penstock(os.environ["CHAOS_URL"])
# The kills hit whatever runs: no job is to blame, however often it is hit.
orders = app.sink(
    os.environ["CHAOS_TABLE_URL"], table=os.environ["CHAOS_TABLE"], name="orders", max_size=200, crash_limit=1000
)
