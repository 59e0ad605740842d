-- Note something of this store. In: which note, its value.
insert into penstock_note (name, value) values (?1, ?2) on conflict (name) do update set value = excluded.value
