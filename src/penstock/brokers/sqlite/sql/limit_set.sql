-- Set a limit. In: name, terms.
insert into penstock_limit (name, terms) values (?1, ?2) on conflict (name) do update set terms = excluded.terms
