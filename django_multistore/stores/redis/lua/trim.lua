-- Removes the keys of sessions that have expired from an index, or counts them.
-- KEYS: the index. ARGV: at most how many, and 1 to count only.
local now = redis.call('TIME')[1]
if ARGV[2] == '1' then return reply_of('ZCOUNT', KEYS[1], '-inf', '(' .. now) or 0 end
local expired = reply_of('ZRANGE', KEYS[1], '-inf', '(' .. now, 'BYSCORE', 'LIMIT', 0, ARGV[1])
if not expired or #expired == 0 then return 0 end
return redis.call('ZREM', KEYS[1], unpack(expired))
