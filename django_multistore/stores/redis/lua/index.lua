-- The index of one user is a sorted set of the keys of the sessions. The score is the second in which
-- the session expires; on a server half a second less in a takeover, which doesn't count against a
-- limit. The index expires with the last of them. Returns the second.
local function list(index, member, life, head)
  local expires = math.ceil((milliseconds() + life) / 1000)
  local score = head and string.sub(head, KIND, KIND_END) == TAKEOVER and expires - 0.5 or expires
  if not reply_of('ZADD', index, score, member) then
    -- Something else under the index's name keeps nobody from logging in.
    redis.call('UNLINK', index)
    redis.call('ZADD', index, score, member)
  end
  if redis.call('EXPIREAT', index, expires, 'GT') == 0 then
    redis.call('EXPIREAT', index, expires, 'NX')
  end
  return expires
end
