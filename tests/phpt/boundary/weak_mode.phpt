--TEST--
Scalars coerce as in PHP's weak mode, and null or words are never taken for numbers
--EXTENSIONS--
slbp
--FILE--
<?php
$limiter = new SLBP_Rate_Limiter();
var_dump($limiter->check_rate_limit('user:1', 'general', '2')['remaining']);
var_dump($limiter->check_rate_limit('user:1', 'general', 1.0)['remaining']);
var_dump($limiter->check_rate_limit(42, 'general')['allowed']);
var_dump($limiter->check_rate_limit("bin\xff\x00key")['remaining']);
foreach (['x', null, 1.5, [], new stdClass] as $wrong) {
    try {
        $limiter->check_rate_limit('user:1', 'general', $wrong);
    } catch (TypeError $e) {
        echo $e->getMessage(), "\n";
    }
}
try {
    $limiter->check_rate_limit(null);
} catch (TypeError $e) {
    echo $e->getMessage(), "\n";
}
?>
--EXPECT--
int(98)
int(97)
bool(true)
int(99)
SLBP_Rate_Limiter::check_rate_limit(): Argument #3 ($cost) must be of type int, string given
Argument `$cost` must not be null
SLBP_Rate_Limiter::check_rate_limit(): Argument #3 ($cost) must be of type int, float given
SLBP_Rate_Limiter::check_rate_limit(): Argument #3 ($cost) must be of type int, array given
SLBP_Rate_Limiter::check_rate_limit(): Argument #3 ($cost) must be of type int, object given
SLBP_Rate_Limiter::check_rate_limit(): Argument #1 ($client_id) must be of type string, null given
