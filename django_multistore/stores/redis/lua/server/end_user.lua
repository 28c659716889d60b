-- End a user's sessions, as many as one call may: how many were alive, and how many keys are left.
-- KEYS: the index. ARGV: what names of sessions begin with, the key that stays or nothing, how many.
local keys, names = {}, {}
local is_spared = 0
for _, key in ipairs(redis.call('ZRANGE', KEYS[1], 0, ARGV[3])) do
  if key == ARGV[2] then
    is_spared = 1
  elseif #keys < tonumber(ARGV[3]) then
    keys[#keys + 1] = key
    names[#names + 1] = ARGV[1] .. key
  end
end
if #keys == 0 then return {0, 0} end
local ended = redis.call('UNLINK', unpack(names))
redis.call('ZREM', KEYS[1], unpack(keys))
if is_spared == 0 and redis.call('ZSCORE', KEYS[1], ARGV[2]) then is_spared = 1 end
return {ended, redis.call('ZCARD', KEYS[1]) - is_spared}
