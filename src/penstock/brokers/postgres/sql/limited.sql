-- May anything be limited, and may any job keep an order? See the function. Out: true or false for each.
select limited, ordered from penstock.any_limited()
