-- Note what a gate let through. In: name, paid_until.
insert into penstock_gate (name, paid_until) values (?1, ?2) on conflict (name) do update set paid_until = excluded.paid_until
