-- End a user's sessions until there are only so many, and return the keys of those that ended.
-- KEYS: the index. ARGV: what names of sessions begin with, how many may stay, the keys to end, the
-- first one first.
local now = redis.call('TIME')[1]
local surplus = (reply_of('ZCOUNT', KEYS[1], '(' .. now, '+inf') or 0) - ARGV[2]
local ended = {}
for i = 3, #ARGV do
  if #ended >= surplus then break end
  if redis.call('ZREM', KEYS[1], ARGV[i]) == 1 then
    redis.call('UNLINK', ARGV[1] .. ARGV[i])
    ended[#ended + 1] = ARGV[i]
  end
end
return ended
