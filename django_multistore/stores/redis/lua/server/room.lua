-- Go on only if the user has room for one more session.
-- KEYS: the index comes last. ARGV: as the last two, the key that the session will have, which may
-- be listed if only the reply was lost, and how many there may be.
local FULL = -3
local live = reply_of('ZCOUNT', KEYS[#KEYS], '(' .. redis.call('TIME')[1], '+inf') or 0
if live >= tonumber(ARGV[#ARGV]) and not redis.call('ZSCORE', KEYS[#KEYS], ARGV[#ARGV - 1]) then
  return FULL
end
