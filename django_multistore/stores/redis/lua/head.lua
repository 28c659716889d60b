-- A value is a head and a payload, of which layout.py has the constants. The files are short because
-- Redis makes each function anew for each call.

-- Returns the head of what is under a name, to the end of the user id or of a tombstone at least; nil
-- if nothing is there, and empty text if something is there that is no string.
local function head_of(name)
  local head = reply_of('GETRANGE', name, 0, HEAD + LONGEST_USER + KEY_LENGTH - 1)
  if head ~= '' then return head or '' end
end
