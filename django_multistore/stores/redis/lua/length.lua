-- Returns where the user agent ends, as a head says.
local function device_end_of(head)
  local user_high, user_low, ip_address, agent_high, agent_low =
    string.byte(head, USER_LENGTH, USER_AGENT_LENGTH_END)
  local user = user_high * 256 + user_low
  if user == NO_USER then user = 0 end
  if ip_address == NO_IP_ADDRESS then ip_address = 0 end
  return HEAD + user + ip_address + agent_high * 256 + agent_low
end
