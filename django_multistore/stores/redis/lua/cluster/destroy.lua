-- End a session: whether it was alive, and its user.
-- KEYS: the session. ARGV: a nonce, milliseconds that a marker lives.
local head = head_of(KEYS[1])
if not is_live(head) then
  return {head and not is_moved(head) and nonce_of(head) == ARGV[1] and 1 or 0}
end
mark(KEYS[1], ENDED, ARGV[1], head, '', ARGV[2])
return {1, user_of(head)}
