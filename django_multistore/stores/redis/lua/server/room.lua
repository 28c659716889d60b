-- Go on only if the user has room for one more session that counts.
-- KEYS: the index comes last. ARGV: as the last two, the key that the session will have, which may
-- be listed if only the reply was lost, and how many there may be.
local FULL = -3
local index, most = KEYS[#KEYS], tonumber(ARGV[#ARGV])
if live(index) >= most and counted(index, most) >= most
  and not is_counted(redis.call('ZSCORE', index, ARGV[#ARGV - 1])) then
  return FULL
end
