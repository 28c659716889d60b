-- End a session that is moving to another key: the outcome, its head, and how long it had to live,
-- which only the marker's first writer learns.
-- KEYS: the session. ARGV: the nonce, the version or nothing, the key that it goes to,
-- milliseconds that a marker lives.
local nonce, version, successor, marker_life = unpack(ARGV)
local head = head_of(KEYS[1])
if is_moved(head) and nonce_of(head) == nonce then return {DONE, head} end
if not is_live(head) then return {GONE} end
if version ~= '' and version ~= version_of(head) then return {CONFLICT} end
local life = redis.call('PTTL', KEYS[1])
mark(KEYS[1], MOVED, nonce, head, successor, marker_life)
return {DONE, string.sub(head, 1, HEAD + user_length(head)), life}
