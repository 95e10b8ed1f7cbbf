-- Adds ARGV[2] to the digits behind the head ARGV[1], not going below 0 or over the largest integer.
-- Returns the sum as text, or nil when what is there is no counter with that head.
-- Redis does the arithmetic, on the key itself, because Lua's numbers are floats.
local entry = redis.call('GET', KEYS[1])
local head = ARGV[1]
if not entry or string.sub(entry, 1, #head) ~= head then
    return nil
end
redis.call('SET', KEYS[1], string.sub(entry, #head + 1), 'KEEPTTL')
local added = redis.pcall('INCRBY', KEYS[1], ARGV[2])
local sum
if type(added) == 'number' then
    sum = redis.call('GET', KEYS[1])
elseif string.find(added.err, 'overflow') then
    sum = string.sub(ARGV[2], 1, 1) == '-' and '0' or '9223372036854775807'
else
    redis.call('SET', KEYS[1], entry, 'KEEPTTL')
    return nil
end
if string.sub(sum, 1, 1) == '-' then
    sum = '0'
end
redis.call('SET', KEYS[1], head .. sum, 'KEEPTTL')
return sum
