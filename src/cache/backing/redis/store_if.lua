-- Stores ARGV[1] for ARGV[2] milliseconds (0: for ever) if what is there is ARGV[3] (empty: nothing).
local there = redis.call('GET', KEYS[1]) or ''
if there ~= ARGV[3] then
    return 0
end
if ARGV[2] == '0' then
    redis.call('SET', KEYS[1], ARGV[1])
else
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
