local function nonce_of(head)
  return string.sub(head, 2, 9)
end

local function version_of(head)
  return string.sub(head, 26, 29)
end

-- Whether this very write was done before, and only its reply was lost.
local function is_own(head, value)
  return head and nonce_of(head) == nonce_of(value)
end

-- What is in the store once a value was written over what was there. After the last version comes
-- the first: none is 0.
local function succeeding(head, value)
  local version = struct.unpack('>I4', version_of(head))
  return string.sub(value, 1, 9) .. string.sub(head, 10, 25)
    .. struct.pack('>I4', version % 4294967295 + 1) .. string.sub(value, 30)
end
