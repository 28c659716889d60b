-- KEYS: the session, and the index if it has a user. ARGV: the value, milliseconds to live, the key.
if redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX') then
  if KEYS[2] then list(KEYS[2], ARGV[3], ARGV[2]) end
  return DONE
end
return is_own(head_of(KEYS[1]), ARGV[1]) and DONE or GONE
