-- KEYS: the session. ARGV: the version, the two times, milliseconds to live at least, the lengths of
-- the device's parts, the parts, until when the index has it or nothing if it was not asked.
local version, moments, life, lengths, device, listed_until = unpack(ARGV)
local head = head_of(KEYS[1])
if not is_live(head) then return GONE end
if version ~= '' and version ~= version_of(head) then return CONFLICT end
local is_longer = (tonumber(life) or 0) > redis.call('PTTL', KEYS[1])
if is_longer and user_of(head) then
  local was_asked = listed_until ~= ''
  if not was_asked then listed_until = string.sub(head, 54, 57) end
  if not is_listed(listed_until, life, was_asked) then return UNLISTED end
  redis.call('SETRANGE', KEYS[1], 53, listed_until)
  head = head_of(KEYS[1])
end
if not touch(KEYS[1], head, moments, lengths, device) then return GONE end
if is_longer then redis.call('PEXPIRE', KEYS[1], life) end
return DONE
