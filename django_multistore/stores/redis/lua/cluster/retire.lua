-- Leaves a key that is dead in its index for as long as its tombstone lives. The session may have
-- moved, and until the new key is written, who would end it finds it only by that.
-- KEYS: the index. ARGV: the key, milliseconds.
local score = reply_of('ZSCORE', KEYS[1], ARGV[1])
local expires = math.ceil((milliseconds() + ARGV[2]) / 1000)
if score and tonumber(score) > expires then redis.call('ZADD', KEYS[1], 'XX', expires, ARGV[1]) end
return DONE
