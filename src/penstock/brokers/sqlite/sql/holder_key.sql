-- In: worker, process. Out: key, whether anything may be limited, whether any job keeps an order.
select key, exists (select 1 from penstock_limit) or exists (select 1 from penstock_line),
  exists (select 1 from penstock_job where turn > 0)
from penstock_holder where worker = ?1 and process = ?2
