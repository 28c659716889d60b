-- Ends a user's sessions, as many as one call may, and returns how many there were and how many keys
-- are left. A member that isn't as long as a key has no session, and only leaves the index.
-- KEYS: the index. ARGV: what names of sessions begin with, the key that stays or nothing, how many.
local prefix, kept_key, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local listed = reply_of('ZRANGE', KEYS[1], 0, most)
if not listed then
  redis.call('UNLINK', KEYS[1])
  return {0, 0}
end
local keys, names = {}, {}
local kept = 0
for _, key in ipairs(listed) do
  if key == kept_key then
    kept = 1
  elseif #keys < most then
    keys[#keys + 1] = key
    if #key == KEY_LENGTH then names[#names + 1] = prefix .. key end
  end
end
if #keys == 0 then return {0, 0} end
local ended = #names > 0 and redis.call('UNLINK', unpack(names)) or 0
redis.call('ZREM', KEYS[1], unpack(keys))
if kept == 0 and redis.call('ZSCORE', KEYS[1], kept_key) then kept = 1 end
return {ended, redis.call('ZCARD', KEYS[1]) - kept}
