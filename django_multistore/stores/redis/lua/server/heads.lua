local MOST_OF_A_HEAD = 256 -- bytes, which few heads exceed
local LONGEST_WITHOUT_ACTOR = 4096 -- bytes; a head that says more is damaged

-- Adds the key of each session that is there, and its head, with which some of its payload may come.
-- The head is empty if what is there is no string, or if the key is none.
local function add_heads(found, prefix, keys)
  local last = #found
  for i = 1, #keys do
    local name = prefix .. keys[i]
    local head = #keys[i] == KEY_LENGTH and reply_of('GETRANGE', name, 0, MOST_OF_A_HEAD - 1)
    if head and #head == MOST_OF_A_HEAD then
      local length = device_end_of(head)
      if length <= LONGEST_WITHOUT_ACTOR then
        if string.sub(head, KIND, KIND_END) == TAKEOVER then length = length + LONGEST_ACTOR end
        if length > MOST_OF_A_HEAD then head = redis.call('GETRANGE', name, 0, length - 1) end
      end
    end
    if head ~= '' then
      found[last + 1], found[last + 2] = keys[i], head or ''
      last = last + 2
    end
  end
  return found
end
