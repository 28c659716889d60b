-- What is left of a session under its key, so that a create in flight finds the key taken: who it
-- was, and where it went. Its head is nil where nothing was.
local function mark(name, kind, nonce, head, successor, life)
  local identity = is_live(head) and string.sub(head, 10, HEAD + user_length(head)) or ''
  local reply = redis.pcall('SET', name, kind .. nonce .. identity .. successor, 'PX', life)
  if reply.err then
    -- A server without memory must still end a session.
    if kind ~= ENDED or not head then error(reply) end
    redis.call('UNLINK', name)
  end
end

local function is_moved(head)
  return is_whole(head) and string.sub(head, 1, 1) == MOVED
    and #head == HEAD + user_length(head) + KEY_LENGTH
end

local function successor_of(head)
  return string.sub(head, -KEY_LENGTH)
end

-- Whether something is there that is neither a session nor a marker.
local function is_damaged(head)
  return head and not is_live(head) and not is_moved(head) and string.sub(head, 1, 1) ~= ENDED
end

-- Whether the index has a session for as long as it is to live. It says so itself: the index is
-- on another server, whose clock this allows for. It can't say what is beyond the year 2106, so
-- that is believed only if the index was just asked.
local LATEST = '\255\255\255\255'

local function is_listed(listed_until, life, was_asked)
  if listed_until == LATEST and was_asked then return true end
  return milliseconds() + life <= struct.unpack('>I4', listed_until) * 1000
end
