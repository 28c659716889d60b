-- Stores a new session.
-- KEYS: the session. ARGV: the value, milliseconds to live, until when it may be done or nothing.
-- After that a tombstone that would have forbidden it may be gone.
if ARGV[3] ~= '' and milliseconds() > tonumber(ARGV[3]) then return UNLISTED end
if redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX') then return DONE end
local head = head_of(KEYS[1])
return is_live(head) and is_own(head, ARGV[1]) and DONE or GONE
