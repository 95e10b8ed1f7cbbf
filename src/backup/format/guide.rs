//! What a person without this extension needs to restore a backup.

use super::manifest::Manifest;

/// `restore.sh`, the same in every backup. What a component builds on is in its file `CHAIN`.
pub const RESTORE_SCRIPT: &str = include_str!("restore.sh");

/// What differs in the guide: an argument of `restore.sh`, what stands before the type, and the way by hand.
const CLEAR: (&str, &str, &str) = (
    "",
    "",
    "    sha256sum -c SHA256SUMS
    gunzip -c db/*.sql.gz | mariadb --binary-mode NAME
    (cd /srv/site && xargs -0 rm -rf --) < files/deleted.lst        (where it exists)
    tar -xzpf files/files.tar.gz -C /srv/site
",
);

/// The same for an encrypted backup.
const ENCRYPTED: (&str, &str, &str) = (
    " --identity key.txt",
    "encrypted ",
    "    age -d -i key.txt SHA256SUMS.age | sha256sum -c
    for f in db/*.sql.gz.age; do age -d -i key.txt $f | gunzip -c; done | mariadb --binary-mode NAME
    age -d -i key.txt files/deleted.lst.age | (cd /srv/site && xargs -0 rm -rf --)
    age -d -i key.txt files/files.tar.gz.age | tar -xzpf - -C /srv/site

key.txt holds the line AGE-SECRET-KEY-1... that belongs to a recipient in manifest.json. The tool is
the package age of most systems (https://age-encryption.org); rage does as well.
",
);

/// `RESTORE.txt`.
pub fn restore_text(manifest: &Manifest, encrypted: bool) -> String {
    let id = &manifest.id;
    let needs: Vec<String> = manifest.needs().iter().map(|id| format!("    {id}\n")).collect();
    let (identity, kind_of, by_hand) = if encrypted { ENCRYPTED } else { CLEAR };
    format!(
        "\
This is the {kind_of}{kind} backup {id}.

It can be restored without slbp and without PHP. The folders it needs, next to one another:

{needs}
    sh restore.sh --database NAME --socket /run/mysqld/mysqld.sock --user root --files /srv/site{identity}

The database NAME must exist; its tables of the same names are replaced. Leave out --database or
--files to restore only the other. Passwords are taken from MYSQL_PWD or ~/.my.cnf.

By hand, for each backup in the order of db/CHAIN and files/CHAIN:

{by_hand}",
        kind = manifest.kind.name(),
        needs = needs.concat(),
    )
}
