-- Enters jobs, by COPY: an insert took 1.7 times as long. An id that is there fails all.
-- In braces: the columns.
copy penstock_ledger_jobs ({columns}) from stdin (format binary)
