--TEST--
A result array is the caller's own: writing to one changes no other
--EXTENSIONS--
slbp
--FILE--
<?php
$limiter = new SLBP_Rate_Limiter();
$first = $limiter->peek_rate_limit('user:9');
$copy = $first;
$first['limit'] = 'mine';
$first['extra'] = 1;
unset($first['window']);
$second = $limiter->peek_rate_limit('user:9');
var_dump(array_keys($second), $second['limit'], $copy === $second, count($first));
?>
--EXPECT--
array(8) {
  [0]=>
  string(7) "allowed"
  [1]=>
  string(5) "limit"
  [2]=>
  string(9) "remaining"
  [3]=>
  string(6) "window"
  [4]=>
  string(11) "retry_after"
  [5]=>
  string(5) "reset"
  [6]=>
  string(6) "reason"
  [7]=>
  string(6) "policy"
}
int(100)
bool(true)
int(8)
