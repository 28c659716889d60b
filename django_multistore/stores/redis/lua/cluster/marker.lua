-- What is left of a session under its key, so that a create in flight finds the key taken: who it
-- was, and where it went.
local KEY_LENGTH = 20

local function mark(name, kind, nonce, head, successor, life)
  local identity = head and string.sub(head, 10, HEAD + user_length(head)) or ''
  local reply = redis.pcall('SET', name, kind .. nonce .. identity .. successor, 'PX', life)
  if reply.err then
    -- A server without memory must still end a session.
    if kind ~= ENDED or not head then error(reply) end
    redis.call('UNLINK', name)
  end
end

local function is_moved(head)
  return head and string.sub(head, 1, 1) == MOVED
end

local function successor_of(head)
  return string.sub(head, -KEY_LENGTH)
end

-- Whether the index has a session for as long as it is to live. It says so itself: the index is
-- on another server, whose clock this allows for.
local function is_listed(listed_until, life)
  return milliseconds() + life <= struct.unpack('>I4', listed_until) * 1000
end
