-- Is any workflow under way? Out: a row, or none.
select 1 from penstock.stage where ended_at is null limit 1
