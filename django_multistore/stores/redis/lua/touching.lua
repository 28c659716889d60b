-- Move seen_at and expires_at, and the device if it is another. The payload stays where it is.
local function touch(name, head, moments, lengths, device)
  local user = HEAD + user_length(head)
  local old_end = head_length(head)
  redis.call('SETRANGE', name, 37, moments)
  local stored = #head < old_end and redis.call('GETRANGE', name, 0, old_end - 1) or head
  if string.sub(stored, 60, 62) == lengths and string.sub(stored, user + 1, old_end) == device then
    return
  end
  local payload = redis.call('GETRANGE', name, old_end, -1)
  redis.call('SET', name, string.sub(stored, 1, 37) .. moments .. string.sub(stored, 54, 59)
    .. lengths .. string.sub(stored, HEAD + 1, user) .. device .. payload, 'KEEPTTL')
end
