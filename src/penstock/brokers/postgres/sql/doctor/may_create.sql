-- May this user make the schema? Out: true or false.
select has_database_privilege(current_database(), 'CREATE')
