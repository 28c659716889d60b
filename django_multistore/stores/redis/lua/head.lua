-- A value is a head and a payload; values.py has its layout, of which the places here are counted
-- from 1. The files are short because Redis makes each function anew for each call.
local LIVE, ENDED, MOVED, TAKEOVER = '\1', '\2', '\3', '\4'
local DONE, GONE, CONFLICT, UNLISTED = 1, 0, -1, -2
local HEAD, KEY_LENGTH = 62, 20
local LONGEST_USER = 1020 -- bytes: 255 characters of four

-- The head of what is under a name, to the end of the user id or of a marker at least; nil if
-- nothing is there, empty if something is that is no string.
local function head_of(name)
  local head = reply_of('GETRANGE', name, 0, HEAD + LONGEST_USER + KEY_LENGTH - 1)
  if head ~= '' then return head or '' end
end
