-- Ends a session, and returns whether it was alive, and its user. What is damaged goes as well.
-- KEYS: the session. ARGV: a nonce, milliseconds that a tombstone lives.
local head = head_of(KEYS[1])
local is_alive = is_live(head)
if is_alive or is_damaged(head) then
  leave_tombstone(KEYS[1], ENDED, ARGV[1], head, '', ARGV[2])
  return {is_alive and 1 or 0, user_of(head)}
end
if not head then redis.call('UNLINK', KEYS[1]) end -- It may be an empty value.
return {head and not is_moved(head) and nonce_of(head) == ARGV[1] and 1 or 0}
