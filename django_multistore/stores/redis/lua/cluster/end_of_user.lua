-- End a session if it is this user's: what was there, and the key that it went to.
-- KEYS: the session. ARGV: a nonce, milliseconds that a marker lives, the user, an id or nothing,
-- whether it is a key that a session went to.
local nonce, marker_life, user, id, is_followed = unpack(ARGV)
local head = head_of(KEYS[1])
if not head then
  -- A rotation or a login is about to write it. A login that is asked for by its id has done so.
  if is_followed == '0' and id ~= '' then return {'other'} end
  mark(KEYS[1], ENDED, nonce, nil, '', marker_life)
  return {'barred'}
end
if is_damaged(head) then
  -- Whose it is and which, nobody can tell; the user's index has it.
  if id ~= '' then return {'other'} end
  mark(KEYS[1], ENDED, nonce, head, '', marker_life)
  return {'ended'}
end
local is_alive = is_live(head)
if not is_alive and (not is_moved(head) or user_of(head) ~= user) then
  return {nonce_of(head) == nonce and 'ended' or 'dead'}
end
if user_of(head) ~= user or (id ~= '' and string.sub(head, 10, 17) ~= id) then
  return {'other'}
end
if not is_alive then return {'moved', successor_of(head)} end
mark(KEYS[1], ENDED, nonce, head, '', marker_life)
return {'ended'}
