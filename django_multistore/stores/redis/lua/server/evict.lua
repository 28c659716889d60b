-- Ends a user's sessions until only so many count, and returns the keys of those that ended.
-- KEYS: the index. ARGV: what names of sessions begin with, how many may stay, and then the keys to
-- end, in this order.
local most = tonumber(ARGV[2])
local surplus = count_live(KEYS[1]) - most
if surplus > 0 then surplus = count_counted(KEYS[1], most + #ARGV - 2) - most end
local ended = {}
for i = 3, #ARGV do
  if #ended >= surplus then break end
  if is_counted(redis.call('ZSCORE', KEYS[1], ARGV[i])) then
    redis.call('ZREM', KEYS[1], ARGV[i])
    redis.call('UNLINK', ARGV[1] .. ARGV[i])
    ended[#ended + 1] = ARGV[i]
  end
end
return ended
