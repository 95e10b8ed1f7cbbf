-- policy::mirror. KEYS: the session. ARGV: version, data, lifetime in ms.
local version = tonumber(redis.call('HGET', KEYS[1], 'v') or 0) or 0
if version >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'd', ARGV[2], 's', '', 'w', '')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
