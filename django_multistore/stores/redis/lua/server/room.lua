-- Goes on only if the user has room for one more session that counts.
-- KEYS: the index comes last. ARGV: the last two are the key that the session will have, which may be
-- listed if only the reply was lost, and how many there may be.
local index, most = KEYS[#KEYS], tonumber(ARGV[#ARGV])
if count_live(index) >= most and count_counted(index, most) >= most
  and not is_counted(redis.call('ZSCORE', index, ARGV[#ARGV - 1])) then
  return FULL
end
