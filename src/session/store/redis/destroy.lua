-- policy::destroy. KEYS: the session. ARGV: version at least, state, time to stay in ms.
local version = (tonumber(redis.call('HGET', KEYS[1], 'v') or 0) or 0) + 1
if version < tonumber(ARGV[1]) then version = tonumber(ARGV[1]) end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'v', string.format('%.0f', version), 's', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
