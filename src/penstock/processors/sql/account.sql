-- What orders of an account need to know. Parameters: account. Result: the account, or nothing.
select account, desk from market_accounts where account = %(account)s
