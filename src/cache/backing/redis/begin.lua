-- Begins a generation in each slot of ARGV from the second on, later than ARGV[1], and in slot 0 when
-- there were none at all. Generations are microseconds of the server's clock, and grow even when that
-- does not.
local now = redis.call('TIME')
local known = tonumber(redis.call('HGET', KEYS[1], 'v') or '0')
local next = math.max(tonumber(now[1]) * 1000000 + tonumber(now[2]), known + 1, tonumber(ARGV[1]) + 1)
local text = string.format('%.0f', next)
for index = 2, #ARGV do
    redis.call('HSET', KEYS[1], ARGV[index], text)
end
if known == 0 then
    redis.call('HSET', KEYS[1], '0', text)
end
redis.call('HSET', KEYS[1], 'v', text)
return redis.call('HGETALL', KEYS[1])
