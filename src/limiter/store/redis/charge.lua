-- Charges one request to every limit of a rule, or to none.
--
-- Decides with the same integers as src/limiter/policy, by the server's clock; what a decision means
-- for the client (how many are left, how long to wait) the policy works out from the reply.
-- tests/limiter/script.rs holds the two together on random histories. All products stay below 2^53,
-- where doubles are exact.
--
-- KEYS: one counter per limit, all with one hash tag.
-- ARGV[1]: whether to spend (1 byte, else peek), the cost (8 bytes), then for each limit: algorithm
--        (1 byte: s, g or f), limit, window in seconds, burst (8 bytes each).
-- Reply: the server's microseconds (8 bytes), then for each limit whether it has room (1 byte) and
--        its state after this request (three numbers of 8 bytes). All numbers big-endian.
--
-- Written flat, because it runs for every request of a site: closures, text in place of packed
-- numbers and the arithmetic of the answer once made it take twice as long.

local call, floor = redis.call, math.floor
local pack, unpack = struct.pack, struct.unpack
local time = call('TIME')
local micros = time[1] * 1000000 + time[2]
local spending, cost, first_limit = unpack('>I1I8', ARGV[1])
spending = spending == 1
-- Of several limits all are asked before any is charged.
local passes = spending and #KEYS > 1 and 2 or 1
local all_fit, reply = true, nil

for pass = 1, passes do
  local charging = spending and pass == passes
  local at = first_limit
  reply = pack('>I8', micros)
  for position = 1, #KEYS do
    local key = KEYS[position]
    local algorithm, limit, window, burst
    algorithm, limit, window, burst, at = unpack('>c1I8I8I8', ARGV[1], at)
    local value = call('GET', key)
    local kept, older, newer
    if value and #value == 24 then
      kept, older, newer = unpack('>I8I8I8', value)
    end
    -- The state: `first` says when, `second` and `third` how much.
    local first, second, third = 0, 0, 0
    -- `expires` stays nil while the expiry that the key has is right. A state from the future (the
    -- clock was set back) is moved to the present, also by a peek.
    local fits, expires, from_the_future

    if algorithm == 's' then
      -- Index of the window, what the window before it saw, what it saw.
      window = window * 1000
      local millis = floor(micros / 1000)
      first = floor(millis / window)
      local left = (first + 1) * window - millis
      if kept == first then
        second, third = older, newer
      else
        expires = left + window
        if kept == first - 1 then
          second = newer
        elseif kept and kept > first then
          second, third, from_the_future = older, newer, true
        end
      end
      fits = floor(second * left / window) + third + cost <= limit
      if fits and charging then
        third = third + cost
      end
    elseif algorithm == 'g' then
      -- Microseconds of writing, how many nanoseconds the theoretical arrival time was ahead then: an
      -- arrival time itself would not fit into a double.
      local interval = math.ceil(window * 1000000000 / limit)
      local span = interval * burst
      first = micros
      if kept then
        second = older - (micros - kept) * 1000
        from_the_future = second > span
        second = math.max(math.min(second, span), 0)
      end
      fits = second + interval * cost <= span
      if fits and charging then
        second = second + interval * cost
      end
      expires = math.ceil(second / 1000000) + 1
    else
      -- Index of the window, what it saw.
      first = floor(micros / (window * 1000000))
      if kept == first then
        second = older
      else
        expires = math.ceil((first + 1) * window * 1000 - micros / 1000) + 1
        if kept and kept > first then
          second, from_the_future = older, true
        end
      end
      fits = second + cost <= limit
      if fits and charging then
        second = second + cost
      end
    end

    if from_the_future or (fits and charging) then
      local state = pack('>I8I8I8', first, second, third)
      if expires then
        call('SET', key, state, 'PX', expires)
      else
        call('SETRANGE', key, 0, state)
      end
    end
    reply = reply .. pack('>I1I8I8I8', fits and 1 or 0, first, second, third)
    all_fit = all_fit and fits
  end
  if not all_fit then
    break
  end
end
return reply
