-- Moves a session's timestamps and its device, and has it live as long as they say.
-- KEYS: the session. ARGV: the version, the two timestamps, milliseconds to live at least, the lengths
-- of the device's parts, the parts, what names of indexes begin with, the key.
local version, timestamps, life, device_lengths, device, prefix, key = unpack(ARGV)
local head = head_of(KEYS[1])
if not is_live(head) then return GONE end
if version ~= '' and version ~= version_of(head) then return CONFLICT end

local user = user_of(head)
if not touch_value(KEYS[1], head, timestamps, device_lengths, device) then return GONE end
life = math.max(tonumber(life) or 0, redis.call('PTTL', KEYS[1]))
if life > 0 then
  redis.call('PEXPIRE', KEYS[1], life)
  if user then list(prefix .. user, key, life, head) end
end
return DONE
