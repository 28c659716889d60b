-- Returns the reply to a command; nil if what is under the name is of another type than the command
-- is for.
local function reply_of(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if not string.find(reply.err, 'WRONGTYPE', 1, true) then error(reply) end
end
