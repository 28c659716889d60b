local function user_length(head)
  local high, low = string.byte(head, 58, 59)
  if high == 255 and low == 255 then return 0, false end
  return high * 256 + low, true
end

-- The user id; nil for a visitor's session.
local function user_of(head)
  local length, has_user = user_length(head)
  if has_user then return string.sub(head, HEAD + 1, HEAD + length) end
end
