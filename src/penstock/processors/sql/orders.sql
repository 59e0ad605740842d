-- A page of orders. Parameters: since, the first order_id; most, how many. Result: orders, by order_id.
select order_id, symbol, side, type, quantity, price, account, placed_at, cancels
from market_orders
where order_id >= %(since)s
order by order_id
limit %(most)s
