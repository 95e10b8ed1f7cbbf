#!/bin/sh
# Restores this backup, with the backups it builds on, by standard tools alone:
# sh, sha256sum, tar, gunzip and the mariadb (or mysql) client.
set -eu

usage() {
    cat <<'USAGE'
usage: sh restore.sh [--database NAME [--socket S | --host H [--port P]] [--user U]] [--files DIR]

  --database NAME   load the tables into this existing database
  --socket S        connect through this unix socket
  --host H          connect to this host
  --port P          on this port
  --user U          as this user; the password is read from MYSQL_PWD or ~/.my.cnf
  --files DIR       unpack the files into this folder
USAGE
}

die() {
    echo "restore.sh: $*" >&2
    exit 1
}

database='' files='' socket='' host='' port='' user=''
while [ $# -gt 0 ]; do
    case $1 in
        --database | --files | --socket | --host | --port | --user)
            [ $# -ge 2 ] || die "$1 needs a value"
            case $1 in
                --database) database=$2 ;;
                --files) files=$2 ;;
                --socket) socket=$2 ;;
                --host) host=$2 ;;
                --port) port=$2 ;;
                --user) user=$2 ;;
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

# The ids that component $1 must apply in order; their sums are checked before anything changes.
chain_of() {
    [ -f "$here/$1/CHAIN" ] || die "this backup has no $1"
    for id in $(cat "$here/$1/CHAIN"); do
        [ -f "$store/$id/SHA256SUMS" ] || die "backup $id, which this one builds on, is missing in $store"
        (cd "$store/$id" && sha256sum --quiet -c SHA256SUMS) >&2 || die "backup $id is damaged; nothing was changed"
        echo "$id"
    done
}

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
        # A failure of gunzip becomes a statement that the server refuses.
        { gunzip -c "$store/$id"/db/*.sql.gz || echo 'gunzip failed;'; } | load || die "backup $id could not be loaded"
    done
fi

if [ -n "$files" ]; then
    mkdir -p "$files"
    for id in $files_chain; do
        if [ -f "$store/$id/files/deleted.lst" ]; then
            (cd "$files" && xargs -0 rm -rf -- <"$store/$id/files/deleted.lst")
        fi
        if [ -f "$store/$id/files/files.tar.gz" ]; then
            tar -xzpf "$store/$id/files/files.tar.gz" -C "$files" || die "the files of $id could not be unpacked"
        fi
    done
fi
echo "restored $(basename "$here")"
