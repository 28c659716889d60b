-- The next of a user's sessions, by expiry: how many keys, the last one's score, and then the key
-- of each that is there, and its head, with which some of its payload may come.
-- KEYS: the index. ARGV: what names of sessions begin with, the least score, how many keys of that
-- score to pass over, how many to read.
local MOST_OF_A_HEAD = 256
local call = redis.call
local prefix = ARGV[1]
local listed = call('ZRANGE', KEYS[1], ARGV[2], '+inf', 'BYSCORE', 'LIMIT', ARGV[3], ARGV[4])
local found = {#listed, #listed > 0 and call('ZSCORE', KEYS[1], listed[#listed]) or ''}
local count = 2
for i = 1, #listed do
  local name = prefix .. listed[i]
  local head = call('GETRANGE', name, 0, MOST_OF_A_HEAD - 1)
  if #head == MOST_OF_A_HEAD and head_length(head) > MOST_OF_A_HEAD then
    head = call('GETRANGE', name, 0, head_length(head) - 1)
  end
  if head ~= '' then
    found[count + 1], found[count + 2] = listed[i], head
    count = count + 2
  end
end
return found
