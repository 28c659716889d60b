-- The index of one user: a sorted set of the keys of the sessions, scored by the second in which
-- they expire; on a server half a second less in a takeover, which doesn't count against a limit. It
-- goes with the last of them. Returns the second.
local function list(index, member, life, head)
  local expires = math.ceil((milliseconds() + life) / 1000)
  local score = head and string.sub(head, 1, 1) == '\4' and expires - 0.5 or expires
  if not reply_of('ZADD', index, score, member) then
    -- What is no index keeps nobody from logging in.
    redis.call('UNLINK', index)
    redis.call('ZADD', index, score, member)
  end
  if redis.call('EXPIREAT', index, expires, 'GT') == 0 then
    redis.call('EXPIREAT', index, expires, 'NX')
  end
  return expires
end
