-- The index of one user: a sorted set of the keys of the sessions, scored by the second in which
-- they expire. It goes with the last of them. Returns the score.
local function list(index, member, life)
  local expires = math.ceil((milliseconds() + life) / 1000)
  if not reply_of('ZADD', index, expires, member) then
    -- What is no index keeps nobody from logging in.
    redis.call('UNLINK', index)
    redis.call('ZADD', index, expires, member)
  end
  if redis.call('EXPIREAT', index, expires, 'GT') == 0 then
    redis.call('EXPIREAT', index, expires, 'NX')
  end
  return expires
end
