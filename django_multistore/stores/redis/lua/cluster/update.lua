-- Compares the version and sets the value. Returns the outcome, and whose the session was if that
-- ended it.
-- KEYS: the session. ARGV: the value, the version or nothing, milliseconds to live or nothing for as
-- long as it does, until when the index has it or nothing if it was not asked, milliseconds that a
-- tombstone lives.
local value, version, life, listed_until, tombstone_life = unpack(ARGV)
local head = head_of(KEYS[1])
if not is_live(head) then return {is_own(head, value) and DONE or GONE} end
if is_own(head, value) then return {DONE} end
if version ~= '' and version ~= version_of(head) then return {CONFLICT} end

local old_user, user = user_of(head), user_of(value)
if life == '0' then
  leave_tombstone(KEYS[1], ENDED, nonce_of(value), head, '', tombstone_life)
  return {DONE, old_user}
end
if life == '' then life = math.max(1, redis.call('PTTL', KEYS[1])) end
local was_asked = listed_until ~= ''
if not was_asked then
  listed_until = user == old_user and string.sub(head, LISTED_UNTIL, LISTED_UNTIL_END)
    or '\0\0\0\0'
end
if user and not is_listed(listed_until, life, was_asked) then return {UNLISTED} end
value = succeed(head, value)
redis.call('SET', KEYS[1], string.sub(value, 1, LISTED_UNTIL - 1) .. listed_until
  .. string.sub(value, LISTED_UNTIL_END + 1), 'PX', life)
return {DONE}
