-- Are the tables there? Out: a row, or none.
select 1 from sqlite_master where type = 'table' and name = 'penstock_meta'
