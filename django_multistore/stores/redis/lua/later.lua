-- Returns the later of two timestamps. Lua's numbers are too small for one, and how Lua orders text
-- depends on the locale.
local function later(a, b)
  local a_high, a_low = struct.unpack('>i4I4', a)
  local b_high, b_low = struct.unpack('>i4I4', b)
  if a_high > b_high or (a_high == b_high and a_low > b_low) then return a end
  return b
end
