-- Know a holder. In: worker, process, now (monotonic).
insert into penstock_holder (worker, process, since) values (?1, ?2, ?3) on conflict do nothing
