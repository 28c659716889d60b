-- Add the key of each session that is there, and its head, with which some of its payload may come.
-- The head is empty if what is there is no string, or the key is none.
local MOST_OF_A_HEAD, LONGEST_HEAD, KEY_LENGTH = 256, 4096, 20
local LONGEST_ACTOR = 1022 -- Behind the head, in a takeover.

local function add_heads(found, prefix, keys)
  local places = #found
  for i = 1, #keys do
    local name = prefix .. keys[i]
    local head = #keys[i] == KEY_LENGTH and reply_of('GETRANGE', name, 0, MOST_OF_A_HEAD - 1)
    if head and #head == MOST_OF_A_HEAD then
      local length = head_length(head)
      if length <= LONGEST_HEAD then
        if string.sub(head, 1, 1) == TAKEOVER then length = length + LONGEST_ACTOR end
        if length > MOST_OF_A_HEAD then head = redis.call('GETRANGE', name, 0, length - 1) end
      end
    end
    if head ~= '' then
      found[places + 1], found[places + 2] = keys[i], head or ''
      places = places + 2
    end
  end
  return found
end
