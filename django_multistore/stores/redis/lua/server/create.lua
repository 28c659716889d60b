-- KEYS: the session, and the index if it has a user. ARGV: the value, milliseconds to live, the key.
if redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX') then
  if KEYS[2] then list(KEYS[2], ARGV[3], ARGV[2], ARGV[1]) end
  return 1
end
-- By its nonce, whether this very create was done before, and only its reply was lost.
return reply_of('GETRANGE', KEYS[1], 1, 8) == string.sub(ARGV[1], 2, 9) and 1 or 0
