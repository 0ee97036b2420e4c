-- KEYS: session. ARGV: field, moment, field, moment, … Moments move forward only, and what has
-- ended is not brought back.
local fields = {'v'}
for i = 1, #ARGV, 2 do
  fields[#fields + 1] = ARGV[i]
end
local had = redis.call('HMGET', KEYS[1], unpack(fields))
if not had[1] then
  return 0
end
local later = {}
for i = 1, #ARGV, 2 do
  local before = had[(i + 1) / 2 + 1]
  if not before or tonumber(before) < tonumber(ARGV[i + 1]) then
    later[#later + 1] = ARGV[i]
    later[#later + 1] = ARGV[i + 1]
  end
end
if #later > 0 then
  redis.call('HSET', KEYS[1], unpack(later))
end
return 1
