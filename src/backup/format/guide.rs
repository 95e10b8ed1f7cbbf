//! What a person without this extension needs to restore a backup.

use super::manifest::Manifest;

/// `restore.sh`, the same in every backup. What a component builds on is in its file `CHAIN`.
pub const RESTORE_SCRIPT: &str = include_str!("restore.sh");

/// `RESTORE.txt`.
pub fn restore_text(manifest: &Manifest) -> String {
    let id = &manifest.id;
    let needs: Vec<String> = manifest.needs().iter().map(|id| format!("    {id}\n")).collect();
    format!(
        "\
This is the {kind} backup {id}.

It can be restored without slbp and without PHP. The folders it needs, next to one another:

{needs}
    sh restore.sh --database NAME --socket /run/mysqld/mysqld.sock --user root --files /srv/site

The database NAME must exist; its tables of the same names are replaced. Leave out --database or
--files to restore only the other. Passwords are taken from MYSQL_PWD or ~/.my.cnf.

By hand, for each backup in the order of db/CHAIN and files/CHAIN:

    sha256sum -c SHA256SUMS
    gunzip -c db/*.sql.gz | mariadb --binary-mode NAME
    cd /srv/site && xargs -0 rm -rf -- < {id}/files/deleted.lst      (where it exists)
    tar -xzpf files/files.tar.gz -C /srv/site
",
        kind = manifest.kind.name(),
        needs = needs.concat(),
    )
}
