-- Store plain jobs, all of one queue and priority and ready at once: `size` of them, of each of which the arguments have its id and
-- its record from its attempts on, from the one numbered `first`. A job whose id is stored already is left as it is. Returns whether any was stored.
local function store_plain(queue, priority, now, first, size)
  local ids, tails, known = {}, {}, {}
  for n = 1, size do ids[n], tails[n] = ARGV[first - 2 + 2 * n], ARGV[first - 1 + 2 * n] end
  local stored = fetch('HMGET', p .. 'jobs', ids)
  local pos, since = new_places(size), pack('>Bd', 0xcb, now)
  local fields, entries = {}, {}
  for n = 1, size do
    local id = ids[n]
    if not stored[n] and not known[id] then
      known[id] = true
      pos = pos + 1
      fields[#fields + 1] = id
      fields[#fields + 1] = pack('>BBI8', 0x9f, 0xcf, pos) .. since .. tails[n]
      entries[#entries + 1] = entry(pos, id)
    end
  end
  if #entries == 0 then return false end
  mark(queue, priority)
  many('HSET', p .. 'jobs', fields)
  many('RPUSH', list_of(priority, queue), entries)
  return true
end
