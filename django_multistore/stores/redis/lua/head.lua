-- Before every script. A value is a head and a payload; values.py has its layout, of which these
-- are the places, counted from 1.
local LIVE, ENDED, MOVED = '\1', '\2', '\3'
local DONE, GONE, CONFLICT, UNLISTED = 1, 0, -1, -2
local NO_USER, NO_IP_ADDRESS = 65535, 255
local HEAD = 62
local LONGEST_USER = 1020 -- bytes

-- The head of what is under a name, to the end of the user id at least; nil if nothing is there.
local function head_of(name)
  local head = redis.call('GETRANGE', name, 0, HEAD + LONGEST_USER - 1)
  if head ~= '' then return head end
end

local function is_live(head)
  return head and string.sub(head, 1, 1) == LIVE
end

local function nonce_of(head)
  return string.sub(head, 2, 9)
end

local function version_of(head)
  return string.sub(head, 26, 29)
end

local function user_length(head)
  local length = struct.unpack('>H', string.sub(head, 58, 59))
  return length == NO_USER and 0 or length, length ~= NO_USER
end

-- The user id; nil for a visitor's session.
local function user_of(head)
  local length, has_user = user_length(head)
  if has_user then return string.sub(head, HEAD + 1, HEAD + length) end
end

local function head_length(head)
  local ip_address, user_agent = struct.unpack('>BH', string.sub(head, 60, 62))
  if ip_address == NO_IP_ADDRESS then ip_address = 0 end
  return HEAD + user_length(head) + ip_address + user_agent
end

-- Whether this very write was done before, and only its reply was lost.
local function is_own(head, value)
  return head and nonce_of(head) == nonce_of(value)
end

-- What is in the store once a value was written over what was there.
local function succeeding(head, value)
  local version = struct.unpack('>I4', version_of(head))
  return string.sub(value, 1, 9) .. string.sub(head, 10, 25)
    .. struct.pack('>I4', version + 1) .. string.sub(value, 30)
end

local function milliseconds()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end
