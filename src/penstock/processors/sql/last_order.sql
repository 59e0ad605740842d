-- The highest order_id so far. Result: last; 0 where there is no order.
select coalesce(max(order_id), 0) as last from market_orders
