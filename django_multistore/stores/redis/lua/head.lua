-- A value is a head and a payload; values.py has its layout, of which the places here are counted
-- from 1. The files are short because Redis makes each function anew for each call.
local LIVE, ENDED, MOVED = '\1', '\2', '\3'
local DONE, GONE, CONFLICT, UNLISTED = 1, 0, -1, -2
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
