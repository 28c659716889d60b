-- Enter a key in an index, or raise its score: what time it is here, and the score.
-- KEYS: the index. ARGV: the key, milliseconds.
local now = milliseconds()
-- Such as the keys that sessions had before they moved. Few at a time, others wait.
local expired = redis.call('ZRANGE', KEYS[1], '-inf', '(' .. math.floor(now / 1000), 'BYSCORE',
  'LIMIT', 0, 10)
if #expired > 0 then redis.call('ZREM', KEYS[1], unpack(expired)) end
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if score and tonumber(score) * 1000 >= now + ARGV[2] then return {now, tonumber(score)} end
return {now, list(KEYS[1], ARGV[1], ARGV[2])}
