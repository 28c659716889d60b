-- Moves a session's timestamps and its device, and has it live as long as they say.
-- KEYS: the session. ARGV: the version, the two timestamps, milliseconds to live at least, the lengths
-- of the device's parts, the parts, until when the index has it or nothing if it was not asked.
local version, timestamps, life, device_lengths, device, listed_until = unpack(ARGV)
local head = head_of(KEYS[1])
if not is_live(head) then return GONE end
if version ~= '' and version ~= version_of(head) then return CONFLICT end
local is_longer = (tonumber(life) or 0) > redis.call('PTTL', KEYS[1])
if is_longer and user_of(head) then
  local was_asked = listed_until ~= ''
  if not was_asked then listed_until = string.sub(head, LISTED_UNTIL, LISTED_UNTIL_END) end
  if not is_listed(listed_until, life, was_asked) then return UNLISTED end
  redis.call('SETRANGE', KEYS[1], LISTED_UNTIL - 1, listed_until)
  head = head_of(KEYS[1])
end
if not touch_value(KEYS[1], head, timestamps, device_lengths, device) then return GONE end
if is_longer then redis.call('PEXPIRE', KEYS[1], life) end
return DONE
