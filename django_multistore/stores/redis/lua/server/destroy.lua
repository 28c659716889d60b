-- Ends a session, and returns whether it was alive. What is damaged goes as well, and leaves the index
-- of its user if that can be read.
-- KEYS: the session. ARGV: what names of indexes begin with, the key.
local head = head_of(KEYS[1])
redis.call('UNLINK', KEYS[1])
local user = user_of(head)
if user then unlist(ARGV[1] .. user, ARGV[2]) end
return is_live(head) and 1 or 0
