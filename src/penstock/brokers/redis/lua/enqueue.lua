-- Store plain jobs, all of one queue and priority and ready at once.
-- uses: base record ready ring
-- Keys: the prefix. Arguments: now or ''; queue; priority; then of each job its id and its record from its attempts on.
-- Result: nothing; a job whose id is stored already is left as it is.
local now, queue, priority = time(ARGV[1]), ARGV[2], ARGV[3]
local ids, tails, known, size = {}, {}, {}, (#ARGV - 3) / 2
for n = 1, size do ids[n], tails[n] = ARGV[2 + 2 * n], ARGV[3 + 2 * n] end
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
if #entries > 0 then
  mark(queue, priority)
  many('HSET', p .. 'jobs', fields)
  many('RPUSH', list_of(priority, queue), entries)
  wake()
end
