-- KEYS: state. ARGV: is one expected, which, is there a new one, which, its end, now, time to live
local had = redis.call('HMGET', KEYS[1], 'v', 'e')
local value = had[1]
if value and tonumber(had[2]) <= tonumber(ARGV[6]) then
  value = false
end
if ARGV[1] == '1' then
  if value ~= ARGV[2] then
    return 0
  end
elseif value then
  return 0
end
if ARGV[3] == '1' then
  redis.call('HSET', KEYS[1], 'v', ARGV[4], 'e', ARGV[5])
  redis.call('PEXPIRE', KEYS[1], ARGV[7])
else
  redis.call('DEL', KEYS[1])
end
return 1
