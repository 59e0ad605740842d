-- All subscriptions, and the mark of the last change of any.
-- uses: base
-- may: only read
-- Keys: the prefix. Arguments: none.
-- Result: the mark, which is nothing before the first, and a list of each one's group, handler and pattern (a msgpack array), and its terms.
return { call('GET', p .. 'subscribed') or '', call('HGETALL', p .. 'subscriptions') }
