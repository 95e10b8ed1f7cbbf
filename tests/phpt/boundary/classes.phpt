--TEST--
Native classes can be subclassed, but neither serialized nor used without their constructor
--EXTENSIONS--
slbp
--FILE--
<?php
class Strict_Limiter extends SLBP_Rate_Limiter
{
    public function check_rate_limit(string $client_id, string $endpoint = 'general', int $cost = 1): array
    {
        return ['strict' => true] + parent::check_rate_limit($client_id, $endpoint, $cost);
    }

    public function own(): string
    {
        return static::class;
    }
}
$strict = new Strict_Limiter();
var_dump($strict->own(), $strict->check_rate_limit('user:7')['strict'], $strict->check_rate_limit('user:7')['policy']);
try {
    serialize($strict);
} catch (Exception $e) {
    echo $e->getMessage(), "\n";
}
class No_Parent extends SLBP_Rate_Limiter
{
    public function __construct()
    {
    }
}
try {
    (new No_Parent())->check_rate_limit('user:7');
} catch (Throwable $e) {
    echo get_class($e), "\n";
}
?>
--EXPECTF--
string(14) "Strict_Limiter"
bool(true)
string(7) "general"
Serialization of 'Strict_Limiter' is not allowed
%s
