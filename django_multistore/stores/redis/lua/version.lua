local function nonce_of(head)
  return string.sub(head, NONCE, NONCE_END)
end

local function version_of(head)
  return string.sub(head, VERSION, VERSION_END)
end

-- Says whether this very write was done before, and only its reply was lost.
local function is_own(head, value)
  return head and nonce_of(head) == nonce_of(value)
end

-- Returns what is in the store once a value was written over what was there: id and created_at stay,
-- and the version is the next one. The last version is followed by the first, which is not 0.
local function succeed(head, value)
  local version = struct.unpack('>I4', version_of(head))
  return string.sub(value, 1, NONCE_END) .. string.sub(head, ID, CREATED_AT_END)
    .. struct.pack('>I4', version % LAST_VERSION + 1) .. string.sub(value, VERSION_END + 1)
end
