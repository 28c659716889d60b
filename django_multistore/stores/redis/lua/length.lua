local function head_length(head)
  local high, low, ip_address, agent_high, agent_low = string.byte(head, 58, 62)
  local user = high == 255 and low == 255 and 0 or high * 256 + low
  return HEAD + user + (ip_address == 255 and 0 or ip_address) + agent_high * 256 + agent_low
end
