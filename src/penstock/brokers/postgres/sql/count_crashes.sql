-- Count crashes of jobs that were just made dead letters, in place of the failed attempt that was counted then. In: ids, crashes.
update penstock.job j set attempt = j.attempt - 1, crashes = j.crashes + x.crashes
from unnest(%(ids)s, %(crashes)s) as x (id, crashes) where j.id = any(array[x.id])
