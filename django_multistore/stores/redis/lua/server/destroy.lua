-- KEYS: the session. ARGV: what names of indexes begin with, the key.
local head = head_of(KEYS[1])
if not is_live(head) then return 0 end
redis.call('UNLINK', KEYS[1])
local user = user_of(head)
if user then redis.call('ZREM', ARGV[1] .. user, ARGV[2]) end
return 1
