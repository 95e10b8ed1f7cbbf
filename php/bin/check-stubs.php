#!/usr/bin/env php
<?php

/**
 * Compares stubs/ with what the extension really registers, both ways, and prints every difference.
 *
 *   php -d extension=slbp.so php/bin/check-stubs.php
 *
 * Exit status: 0 when they agree, 1 when they differ, 2 when the extension is not loaded.
 *
 * A stub declares a class of the same name as the native one, so the two cannot live in one process:
 * the stubs are described by a second PHP started with `-n` (no php.ini, no extension).
 */

declare(strict_types=1);

namespace Slbp\CheckStubs;

const STUBS = __DIR__ . '/../../stubs';

/** @return array<string, mixed> What Reflection says of every given class and function. */
function describe(array $classes, array $functions): array
{
    $surface = [];
    foreach ($classes as $class) {
        $reflection = new \ReflectionClass($class);
        $interfaces = array_values(array_diff($reflection->getInterfaceNames(), ['Stringable', 'Throwable']));
        sort($interfaces);
        $surface[$class] = [
            'parent' => $reflection->getParentClass() ? $reflection->getParentClass()->getName() : null,
            'interfaces' => $interfaces,
            'final' => $reflection->isFinal(),
        ];
        foreach ($reflection->getMethods(\ReflectionMethod::IS_PUBLIC) as $method) {
            if ($method->getDeclaringClass()->getName() === $class) {
                $surface["$class::{$method->getName()}()"] = signature($method);
            }
        }
        foreach ($reflection->getReflectionConstants() as $constant) {
            if ($constant->getDeclaringClass()->getName() === $class) {
                $surface["$class::{$constant->getName()}"] = $constant->getValue();
            }
        }
    }
    foreach ($functions as $function) {
        $surface["$function()"] = signature(new \ReflectionFunction($function));
    }
    ksort($surface);
    return $surface;
}

/** @return array<string, mixed> */
function signature(\ReflectionFunctionAbstract $function): array
{
    $parameters = [];
    foreach ($function->getParameters() as $parameter) {
        $parameters[] = [
            'name' => $parameter->getName(),
            'type' => typeName($parameter->getType()),
            'optional' => $parameter->isOptional(),
            'default' => $parameter->isDefaultValueAvailable() ? var_export($parameter->getDefaultValue(), true) : null,
            'by_reference' => $parameter->isPassedByReference(),
            'variadic' => $parameter->isVariadic(),
        ];
    }
    return [
        'parameters' => $parameters,
        'returns' => typeName($function->getReturnType()),
        'static' => $function instanceof \ReflectionMethod && $function->isStatic(),
    ];
}

/** A union is sorted, so that `string|false` and `false|string` are the same. */
function typeName(?\ReflectionType $type): string
{
    if ($type === null) {
        return 'mixed';
    }
    $parts = explode('|', (string) $type);
    sort($parts);
    return implode('|', $parts);
}

/** The names declared by the files of stubs/, found by loading them where nothing else is loaded. */
function describeStubs(): array
{
    $classes = get_declared_classes();
    foreach (glob(STUBS . '/*.php') ?: [] as $file) {
        require_once $file;
    }
    $functions = get_defined_functions()['user'];
    return describe(
        array_values(array_diff(get_declared_classes(), $classes)),
        array_values(array_filter($functions, fn(string $name): bool => str_starts_with($name, 'slbp_')))
    );
}

function describeExtension(): array
{
    $extension = new \ReflectionExtension('slbp');
    return describe($extension->getClassNames(), array_keys($extension->getFunctions()));
}

/** @return list<string> One line a difference. */
function differences(array $stubs, array $native): array
{
    $lines = [];
    foreach (array_unique([...array_keys($stubs), ...array_keys($native)]) as $name) {
        if (!array_key_exists($name, $native)) {
            $lines[] = "$name is in stubs/ but not in the extension";
        } elseif (!array_key_exists($name, $stubs)) {
            $lines[] = "$name is in the extension but not in stubs/";
        } elseif ($stubs[$name] !== $native[$name]) {
            $lines[] = "$name differs\n  stub:      " . json_encode($stubs[$name])
                . "\n  extension: " . json_encode($native[$name]);
        }
    }
    return $lines;
}

if (in_array('--describe-stubs', $argv, true)) {
    echo json_encode(describeStubs(), JSON_THROW_ON_ERROR);
    exit(0);
}
if (!extension_loaded('slbp')) {
    fwrite(STDERR, "The extension is not loaded: run php -d extension=/path/to/slbp.so {$argv[0]}\n");
    exit(2);
}
$command = [PHP_BINARY, '-n', '-d', 'error_reporting=-1', __FILE__, '--describe-stubs'];
$described = shell_exec(implode(' ', array_map('escapeshellarg', $command)));
$stubs = json_decode((string) $described, true, 512, JSON_THROW_ON_ERROR);
$native = json_decode(json_encode(describeExtension(), JSON_THROW_ON_ERROR), true, 512, JSON_THROW_ON_ERROR);
$found = differences($stubs, $native);
echo $found === []
    ? 'stubs/ and the extension agree on ' . count($native) . " declarations\n"
    : implode("\n", $found) . "\n";
exit($found === [] ? 0 : 1);
