-- Compare and set: the outcome, and whose it was if that ended it.
-- KEYS: the session. ARGV: the value, the version or nothing, milliseconds to live or nothing for as
-- long as it does, until when the index has it or nothing if it was not asked, milliseconds that a
-- marker lives.
local value, version, life, listed_until, marker_life = unpack(ARGV)
local head = head_of(KEYS[1])
if not is_live(head) then return {is_own(head, value) and DONE or GONE} end
if is_own(head, value) then return {DONE} end
if version ~= '' and version ~= version_of(head) then return {CONFLICT} end

local old_user, user = user_of(head), user_of(value)
if life == '0' then
  mark(KEYS[1], ENDED, nonce_of(value), head, '', marker_life)
  return {DONE, old_user}
end
if life == '' then life = math.max(1, redis.call('PTTL', KEYS[1])) end
local was_asked = listed_until ~= ''
if not was_asked then
  listed_until = user == old_user and string.sub(head, 54, 57) or '\0\0\0\0'
end
if user and not is_listed(listed_until, life, was_asked) then return {UNLISTED} end
value = succeeding(head, value)
redis.call('SET', KEYS[1], string.sub(value, 1, 53) .. listed_until .. string.sub(value, 58), 'PX', life)
return {DONE}
