-- Takes a key out of an index. Something else under the index's name is left as it is.
local function unlist(index, member)
  reply_of('ZREM', index, member)
end
