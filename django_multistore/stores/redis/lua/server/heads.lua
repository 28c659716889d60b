-- Add the key of each session that is there, and its head, with which some of its payload may come.
local MOST_OF_A_HEAD = 256

local function add_heads(found, prefix, keys)
  local places = #found
  for i = 1, #keys do
    local name = prefix .. keys[i]
    local head = redis.call('GETRANGE', name, 0, MOST_OF_A_HEAD - 1)
    if #head == MOST_OF_A_HEAD and head_length(head) > MOST_OF_A_HEAD then
      head = redis.call('GETRANGE', name, 0, head_length(head) - 1)
    end
    if head ~= '' then
      found[places + 1], found[places + 2] = keys[i], head
      places = places + 2
    end
  end
  return found
end
