-- Stores a new session.
-- KEYS: the session, and the index if it has a user. ARGV: the value, milliseconds to live, the key.
if redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX') then
  if KEYS[2] then list(KEYS[2], ARGV[3], ARGV[2], ARGV[1]) end
  return DONE
end
-- The nonce tells whether this very create was done before, and only its reply was lost.
local nonce = reply_of('GETRANGE', KEYS[1], NONCE - 1, NONCE_END - 1)
return nonce == string.sub(ARGV[1], NONCE, NONCE_END) and DONE or GONE
