-- Says whether the index has a session for as long as it is to live, by what the index itself said:
-- it is on another server, whose clock may differ. It can't say what is beyond the year 2106, so
-- that is believed only if the index was just asked.
local LATEST = '\255\255\255\255'

local function is_listed(listed_until, life, was_asked)
  if listed_until == LATEST and was_asked then return true end
  return milliseconds() + life <= struct.unpack('>I4', listed_until) * 1000
end
