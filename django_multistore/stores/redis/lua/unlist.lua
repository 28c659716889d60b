-- Take a key out of an index; what is no index has none.
local function unlist(index, member)
  reply_of('ZREM', index, member)
end
