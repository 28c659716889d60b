-- End a user's sessions, as many as one call may: how many there were, and how many keys are left.
-- What isn't as long as a key has no session, and leaves the index alone.
-- KEYS: the index. ARGV: what names of sessions begin with, the key that stays or nothing, how many.
local KEY_LENGTH = 20
local listed = reply_of('ZRANGE', KEYS[1], 0, ARGV[3])
if not listed then
  redis.call('UNLINK', KEYS[1])
  return {0, 0}
end
local keys, names = {}, {}
local is_spared = 0
for _, key in ipairs(listed) do
  if key == ARGV[2] then
    is_spared = 1
  elseif #keys < tonumber(ARGV[3]) then
    keys[#keys + 1] = key
    if #key == KEY_LENGTH then names[#names + 1] = ARGV[1] .. key end
  end
end
if #keys == 0 then return {0, 0} end
local ended = #names > 0 and redis.call('UNLINK', unpack(names)) or 0
redis.call('ZREM', KEYS[1], unpack(keys))
if is_spared == 0 and redis.call('ZSCORE', KEYS[1], ARGV[2]) then is_spared = 1 end
return {ended, redis.call('ZCARD', KEYS[1]) - is_spared}
