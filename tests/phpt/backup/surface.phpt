--TEST--
SLBP_Backup_Manager: names, order, defaults; settings are checked where the object is made
--EXTENSIONS--
slbp
--FILE--
<?php
foreach ((new ReflectionClass('SLBP_Backup_Manager'))->getMethods() as $method) {
    echo $method->name, '(', implode(', ', array_map(
        static fn (ReflectionParameter $parameter) => trim($parameter->getType() . ' $' . $parameter->name
            . ($parameter->isDefaultValueAvailable() ? ' = ' . json_encode($parameter->getDefaultValue()) : '')),
        $method->getParameters()
    )), '): ', $method->getReturnType() ?? '', "\n";
}
foreach ([['shedule' => 'daily'], ['schedule' => 'hourly'], ['compression' => 12], ['hour' => 24], ['files' => ['roots' => ['a']]]] as $config) {
    try {
        new SLBP_Backup_Manager($config);
    } catch (SLBP_InvalidArgumentException $e) {
        echo $e->getMessage(), "\n";
    }
}
class Mine extends SLBP_Backup_Manager
{
    public function list_backups(array $filters = []): array
    {
        return ['mine'];
    }
}
var_dump((new Mine(['backup_dir' => '/nowhere']))->list_backups()[0], (new Mine())->check_backup_permissions());
?>
--EXPECT--
create_backup(string $type = "full", array $components = ["database","files","config"], array $options = []): array
list_backups(array $filters = []): array
get_backup_info(string $backup_id): ?array
restore_backup(string $backup_id, array $components = ["database","files","config"], array $options = []): array
verify_backup(string $backup_id, array $options = []): array
delete_backup(string $backup_id): array
fetch_backup(string $backup_id, array $options = []): array
copy_backups(array $options = []): array
cleanup_old_backups(): array
create_daily_backup(): array
test_disaster_recovery(array $options = []): array
get_progress(?string $backup_id = null): ?array
export_backup(string $backup_id, string $path): bool
create_backup_endpoint(mixed $request): mixed
list_backups_endpoint(mixed $request): mixed
restore_backup_endpoint(mixed $request): mixed
delete_backup_endpoint(mixed $request): mixed
manage_backup_config(mixed $request): mixed
disaster_recovery_test(mixed $request): mixed
verify_backup_endpoint(mixed $request): mixed
fetch_backup_endpoint(mixed $request): mixed
copy_backups_endpoint(mixed $request): mixed
get_progress_endpoint(mixed $request): mixed
check_backup_permissions(mixed $request = null): bool
__construct(array $config = []): 
$config: unknown key 'shedule', did you mean 'schedule'? (known: enabled, schedule, hour, retention_days, monthly_retention_months, compression, daily_components, weekly_components, notifications, backup_dir, database, tables, files, encryption_key, remote)
$config: schedule: expected 'daily', 'weekly' or 'monthly', got 'hourly'
$config: compression: expected 0 to 9, got 12
$config: hour: expected 0 to 23, got 24
$config: files: files: expected roots with a relative name and an absolute path
string(4) "mine"
bool(false)
