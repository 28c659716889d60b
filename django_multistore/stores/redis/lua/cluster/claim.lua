-- Ends a session that is moving to another key. Returns the outcome, the session's head, and how long
-- it had to live, which only the first writer of the tombstone learns.
-- KEYS: the session. ARGV: the nonce, the version or nothing, the key that it goes to,
-- milliseconds that a tombstone lives.
local nonce, version, successor, tombstone_life = unpack(ARGV)
local head = head_of(KEYS[1])
if is_moved(head) and nonce_of(head) == nonce then return {DONE, head} end
if not is_live(head) then return {GONE} end
if version ~= '' and version ~= version_of(head) then return {CONFLICT} end
local life = redis.call('PTTL', KEYS[1])
leave_tombstone(KEYS[1], MOVED, nonce, head, successor, tombstone_life)
return {DONE, string.sub(head, 1, HEAD + user_length(head)), life}
