--TEST--
Exceptions form one tree, carry file, line and trace, and can be made by PHP code
--EXTENSIONS--
slbp
--FILE--
<?php
foreach ((new ReflectionExtension('slbp'))->getClasses() as $class) {
    if ($class->isSubclassOf('Throwable')) {
        printf("%s extends %s\n", $class->getName(), $class->getParentClass()->getName());
    }
}
function misuse() {
    new SLBP_Rate_Limiter(['limtis' => []]);
}
try {
    misuse();
} catch (SLBP_Exception $e) {
    printf("%s at %s:%d in %s()\n", get_class($e), basename($e->getFile()), $e->getLine(), $e->getTrace()[1]['function']);
    echo $e->getMessage(), "\n";
}
$made = new SLBP_Queue_Exception('by hand', 7);
var_dump($made->getCode(), $made->getLine() > 0);
?>
--EXPECTF--
SLBP_Exception extends RuntimeException
SLBP_InvalidArgumentException extends SLBP_Exception
SLBP_Config_Exception extends SLBP_Exception
SLBP_Cache_Exception extends SLBP_Exception
SLBP_Queue_Exception extends SLBP_Exception
SLBP_Backup_Exception extends SLBP_Exception
SLBP_Rate_Limit_Exception extends SLBP_Exception
SLBP_InvalidArgumentException at exceptions.php:8 in misuse()
$config: unknown key 'limtis', did you mean 'limits'? (known: %s)
int(7)
bool(true)
