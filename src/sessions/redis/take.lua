-- KEYS: state. ARGV: now
local had = redis.call('HMGET', KEYS[1], 'v', 'e')
if not had[1] then
  return false
end
redis.call('DEL', KEYS[1])
if tonumber(had[2]) <= tonumber(ARGV[1]) then
  return false
end
return had[1]
