-- Compares the version and sets the value, under the same name or another.
-- KEYS: the session, where it goes.
-- ARGV: the value, the version or nothing, milliseconds to live or nothing for as long as it does,
-- what names of indexes begin with, the key, the key to go to.
local value, version, life, prefix, key, new_key = unpack(ARGV)
local head = head_of(KEYS[1])
if not is_live(head) then
  return KEYS[1] ~= KEYS[2] and is_own(head_of(KEYS[2]), value) and DONE or GONE
end
if is_own(head, value) then return DONE end
if version ~= '' and version ~= version_of(head) then return CONFLICT end

local old_user, user = user_of(head), user_of(value)
local is_over = life == '0'
if life == '' then life = math.max(1, redis.call('PTTL', KEYS[1])) end
if is_over or KEYS[1] ~= KEYS[2] then redis.call('UNLINK', KEYS[1]) end
if old_user and (is_over or key ~= new_key or old_user ~= user) then
  unlist(prefix .. old_user, key)
end
if not is_over then
  redis.call('SET', KEYS[2], succeed(head, value), 'PX', life)
  if user then list(prefix .. user, new_key, life, value) end
end
return DONE
