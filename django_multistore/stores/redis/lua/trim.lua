-- Remove the keys of sessions that have expired from an index, or count them.
-- KEYS: the index. ARGV: at most how many, whether to count only.
local now = redis.call('TIME')[1]
if ARGV[2] == '1' then return redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. now) end
local expired = redis.call('ZRANGE', KEYS[1], '-inf', '(' .. now, 'BYSCORE', 'LIMIT', 0, ARGV[1])
if #expired == 0 then return 0 end
return redis.call('ZREM', KEYS[1], unpack(expired))
