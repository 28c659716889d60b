-- Leaves a tombstone under a session's key, so that a create in flight finds the key taken. It says
-- who the session was and where it went. The head is nil where nothing was.
local function leave_tombstone(name, kind, nonce, head, successor, life)
  local identity = is_live(head) and string.sub(head, ID, HEAD + user_length(head)) or ''
  local reply = redis.pcall('SET', name, kind .. nonce .. identity .. successor, 'PX', life)
  if reply.err then
    -- A server without memory must still end a session.
    if kind ~= ENDED or not head then error(reply) end
    redis.call('UNLINK', name)
  end
end

local function is_moved(head)
  return is_whole(head) and string.sub(head, KIND, KIND_END) == MOVED
    and #head == HEAD + user_length(head) + KEY_LENGTH
end

local function successor_of(head)
  return string.sub(head, -KEY_LENGTH)
end

-- Says whether something is there that is neither a session nor a tombstone.
local function is_damaged(head)
  return head and not is_live(head) and not is_moved(head)
    and string.sub(head, KIND, KIND_END) ~= ENDED
end
