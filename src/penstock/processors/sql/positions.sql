-- All positions. Result: account, symbol, quantity, cash in hundredths.
select account, symbol, quantity, cash from market_positions
