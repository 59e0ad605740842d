-- The next queue or line that has ready jobs. In: the name after which to look. Out: its name, if there is any.
select queue from penstock.job where state = 0 and queue > %(after)s order by queue limit 1
