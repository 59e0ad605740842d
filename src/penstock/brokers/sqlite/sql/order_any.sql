-- Does any job keep an order? Out: 1 or 0.
select exists (select 1 from penstock_job where turn > 0)
