-- Enters a key in an index, or raises its score. Returns what time it is here, and the score.
-- KEYS: the index. ARGV: the key, milliseconds.
local now = milliseconds()
-- Such as the keys that sessions had before they moved leave it, few at a time: others wait.
local expired = reply_of('ZRANGE', KEYS[1], '-inf', '(' .. math.floor(now / 1000), 'BYSCORE',
  'LIMIT', 0, 10)
if expired and #expired > 0 then redis.call('ZREM', KEYS[1], unpack(expired)) end
local score = expired and tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or nil)
local until_then = now + ARGV[2]
-- A score that is no number of seconds, such as infinity, could not be told.
if score and score * 1000 >= until_then and score < 2^53 then return {now, score} end
return {now, list(KEYS[1], ARGV[1], ARGV[2])}
