-- Ends the one of a user's sessions that has an id, if it is among the next by expiry. Returns 1 if it
-- has; else 0, how many keys it looked at, the last of them and its score, and how many keys the index
-- has. Returns nothing if what is under the name is no index.
-- KEYS: the index. ARGV: what names of sessions begin with, the user, the id, the last key before and
-- its score or nothing, how many to look at.
local prefix, user, id, last, score, count = unpack(ARGV)
local listed, total = next_keys(KEYS[1], last, score, count)
if not listed then return {} end
-- Short, for it is gone through up to ten thousand times: an error is no id either.
local pcall = redis.pcall
for i = 1, #listed do
  if pcall('GETRANGE', prefix .. listed[i], ID - 1, ID_END - 1) == id then
    local name = prefix .. listed[i]
    local head = #listed[i] == KEY_LENGTH and head_of(name)
    if is_live(head) and user_of(head) == user then
      redis.call('UNLINK', name)
      redis.call('ZREM', KEYS[1], listed[i])
      return {1}
    end
  end
end
local new_last, new_score = place_of(KEYS[1], listed)
return {0, #listed, new_last, new_score, total}
