-- Ends a session if it is this user's. Returns what was there, and the key that it went to.
-- KEYS: the session. ARGV: a nonce, milliseconds that a tombstone lives, the user, an id or nothing,
-- whether it is a key that a session went to.
local nonce, tombstone_life, user, id, is_followed = unpack(ARGV)
local head = head_of(KEYS[1])
if not head then
  -- A rotation or a login is about to write it. A login that is asked for by its id has done so.
  if is_followed == '0' and id ~= '' then return {'other'} end
  leave_tombstone(KEYS[1], ENDED, nonce, nil, '', tombstone_life)
  return {'barred'}
end
if is_damaged(head) then
  -- Nobody can tell whose it is and which; the user's index has it.
  if id ~= '' then return {'other'} end
  leave_tombstone(KEYS[1], ENDED, nonce, head, '', tombstone_life)
  return {'ended'}
end
local is_alive = is_live(head)
if not is_alive and (not is_moved(head) or user_of(head) ~= user) then
  return {nonce_of(head) == nonce and 'ended' or 'dead'}
end
if user_of(head) ~= user or (id ~= '' and string.sub(head, ID, ID_END) ~= id) then
  return {'other'}
end
if not is_alive then return {'moved', successor_of(head)} end
leave_tombstone(KEYS[1], ENDED, nonce, head, '', tombstone_life)
return {'ended'}
