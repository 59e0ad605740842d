-- What orders of a symbol need to know. Parameters: symbol. Result: the instrument, or nothing.
select symbol, price, lot, volatility from market_instruments where symbol = %(symbol)s
