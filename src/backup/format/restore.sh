#!/bin/sh
# Restores this backup, with the backups it builds on, by standard tools alone:
# sh, sha256sum, tar, gunzip and the mariadb (or mysql) client, and age (or rage) when it is encrypted.
set -eu

usage() {
    cat <<'USAGE'
usage: sh restore.sh [--database NAME [--socket S | --host H [--port P]] [--user U]] [--files DIR]
                     [--identity FILE]

  --database NAME   load the tables into this existing database
  --socket S        connect through this unix socket
  --host H          connect to this host
  --port P          on this port
  --user U          as this user; the password is read from MYSQL_PWD or ~/.my.cnf
  --files DIR       unpack the files into this folder
  --identity FILE   the file with the key (AGE-SECRET-KEY-1...) of an encrypted backup
USAGE
}

die() {
    echo "restore.sh: $*" >&2
    exit 1
}

database='' files='' socket='' host='' port='' user='' identity=''
while [ $# -gt 0 ]; do
    case $1 in
        --database | --files | --socket | --host | --port | --user | --identity)
            [ $# -ge 2 ] || die "$1 needs a value"
            case $1 in
                --database) database=$2 ;;
                --files) files=$2 ;;
                --socket) socket=$2 ;;
                --host) host=$2 ;;
                --port) port=$2 ;;
                --user) user=$2 ;;
                --identity) identity=$2 ;;
            esac
            shift 2
            ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; die "unknown argument: $1" ;;
    esac
done
[ -n "$database$files" ] || { usage >&2; exit 2; }

here=$(cd "$(dirname "$0")" && pwd)
store=$(dirname "$here")

if [ -n "$identity" ]; then
    [ -r "$identity" ] || die "cannot read the key file $identity; nothing was changed"
    identity=$(cd "$(dirname "$identity")" && pwd)/$(basename "$identity")
    age=$(command -v age || command -v rage) ||
        die "an encrypted backup needs the command age: install the package age (https://age-encryption.org); nothing was changed"
fi

# Whether backup $1 is what was written. The sums of an encrypted one are those that were encrypted with it.
check() {
    [ -f "$store/$1/SHA256SUMS" ] || die "backup $1, which this one builds on, is missing in $store"
    grep -q "^  \"id\": \"$1\"," "$store/$1/manifest.json" || die "$store/$1 is not backup $1; nothing was changed"
    if [ -f "$store/$1/SHA256SUMS.age" ]; then
        [ -n "$identity" ] || die "backup $1 is encrypted: name the file of its key with --identity; nothing was changed"
        sums=$("$age" -d -i "$identity" "$store/$1/SHA256SUMS.age") ||
            die "the key in $identity does not open backup $1; nothing was changed"
    else
        [ -z "$identity" ] || die "backup $1 is not encrypted, so --identity cannot vouch for it; nothing was changed"
        sums=$(cat "$store/$1/SHA256SUMS")
    fi
    (cd "$store/$1" && echo "$sums" | sha256sum --quiet -c -) >&2 || die "backup $1 is damaged; nothing was changed"
}

# The ids that component $1 must apply in order, all of them checked before anything changes.
chain_of() {
    [ -f "$here/$1/CHAIN" ] || die "this backup has no $1"
    for id in $(cat "$here/$1/CHAIN"); do
        check "$id"
        echo "$id"
    done
}

# The file $2 of backup $1 as it was before it was encrypted.
contents() {
    if [ -f "$store/$1/$2.age" ]; then
        "$age" -d -i "$identity" "$store/$1/$2.age"
    else
        cat "$store/$1/$2"
    fi
}

check "$(basename "$here")"
db_chain='' files_chain=''
[ -z "$database" ] || db_chain=$(chain_of db)
[ -z "$files" ] || files_chain=$(chain_of files)

if [ -n "$database" ]; then
    client=$(command -v mariadb || command -v mysql) || die "no mariadb or mysql client"
    load() {
        set -- --default-character-set=utf8mb4 --binary-mode --max-allowed-packet=1G
        [ -z "$socket" ] || set -- "$@" --socket="$socket"
        [ -z "$host" ] || set -- "$@" --host="$host"
        [ -z "$port" ] || set -- "$@" --port="$port"
        [ -z "$user" ] || set -- "$@" --user="$user"
        "$client" "$@" "$database"
    }
    for id in $db_chain; do
        for path in "$store/$id"/db/*.sql.gz "$store/$id"/db/*.sql.gz.age; do
            [ ! -f "$path" ] || echo "$(basename "$path" .age)"
        done | while read -r name; do
            # A failure becomes a statement that the server refuses.
            contents "$id" "db/$name" | gunzip -c || echo 'gunzip failed;'
        done | load || die "backup $id could not be loaded"
    done
fi

if [ -n "$files" ]; then
    mkdir -p "$files"
    for id in $files_chain; do
        ! contents "$id" files/deleted.lst | tr '\0' '\n' | grep -qE '^/|(^|/)\.\.(/|$)' ||
            die "backup $id would delete outside of $files"
        contents "$id" files/deleted.lst | (cd "$files" && xargs -0 rm -rf --)
        contents "$id" files/files.tar.gz | tar -xzpf - -C "$files" || die "the files of $id could not be unpacked"
    done
fi
echo "restored $(basename "$here")"
