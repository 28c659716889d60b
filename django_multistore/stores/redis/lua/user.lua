-- Returns the length of the user id, 0 for none, and whether there is one.
local function user_length(head)
  local high, low = string.byte(head, USER_LENGTH, USER_LENGTH_END)
  local length = high * 256 + low
  if length == NO_USER then return 0, false end
  return length, true
end

-- Says whether a value is long enough for what it says of itself, to the end of the user id.
local function is_whole(head)
  if not head or #head < HEAD then return false end
  local length = user_length(head)
  return length <= LONGEST_USER and #head >= HEAD + length
end

local function is_live(head)
  local kind = is_whole(head) and string.sub(head, KIND, KIND_END)
  return kind == LIVE or kind == TAKEOVER
end

-- Returns the user id; nil for an anonymous session, and where it can't be read.
local function user_of(head)
  if not is_whole(head) then return end
  local length, has_user = user_length(head)
  if has_user then return string.sub(head, HEAD + 1, HEAD + length) end
end
