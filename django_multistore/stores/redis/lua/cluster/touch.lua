-- KEYS: the session. ARGV: the version, the two times, milliseconds to live, the lengths of the
-- device's parts, the parts, until when the index has it or nothing if it was not asked, a nonce,
-- milliseconds that a marker lives.
local version, moments, life, lengths, device, listed_until, nonce, marker_life = unpack(ARGV)
local head = head_of(KEYS[1])
if not is_live(head) then return GONE end
if version ~= '' and version ~= version_of(head) then return CONFLICT end
if life == '0' then
  mark(KEYS[1], ENDED, nonce, head, '', marker_life)
  return DONE
end
if user_of(head) then
  local was_asked = listed_until ~= ''
  if not was_asked then listed_until = string.sub(head, 54, 57) end
  if not is_listed(listed_until, life, was_asked) then return UNLISTED end
  redis.call('SETRANGE', KEYS[1], 53, listed_until)
  head = head_of(KEYS[1])
end
if not touch(KEYS[1], head, moments, lengths, device) then return GONE end
redis.call('PEXPIRE', KEYS[1], life)
return DONE
