-- The later of two times. Lua's numbers are too small for one, and its order of text is the locale's.
local function later(a, b)
  local a_high, a_low = struct.unpack('>i4I4', a)
  local b_high, b_low = struct.unpack('>i4I4', b)
  if a_high > b_high or (a_high == b_high and a_low > b_low) then return a end
  return b
end
