#!/bin/sh
# Installs the packages of packages.txt that are missing, for the stages named as arguments.
# Stages build on each other: `serve` includes `build`, `test` includes both.
# With everything in place this asks dpkg once and returns.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
case ${1:-test} in
    build) stages='build' ;;
    serve) stages='build|serve' ;;
    test)  stages='build|serve|test' ;;
    *) echo "usage: packages.sh build|serve|test" >&2; exit 2 ;;
esac

wanted=$(awk -v stages="^($stages)\$" '!/^#/ && $2 ~ stages { print $1 }' "$here/packages.txt")

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "This needs Debian or Ubuntu (apt-get). Elsewhere install by hand:" $wanted >&2
    exit 1
fi

# shellcheck disable=SC2086  # the list is meant to be split
installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $wanted 2>/dev/null | awk '$2 == "installed" { print $1 }')
missing=$(printf '%s\n' $wanted | grep -vxF -e "${installed:-none}" || true)
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "Run as root, or install first:" $missing >&2; exit 1; }
    exec sudo sh "$0" "${1:-test}"
fi

# Debian starts a service as soon as its package is there. Ours are started by hand, with their own
# configuration, so for the length of this call the answer to "may I start it?" is no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT INT TERM
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi

echo "Installing:" $missing
export DEBIAN_FRONTEND=noninteractive
apt-get -qq -o DPkg::Lock::Timeout=300 update
# shellcheck disable=SC2086
apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install --no-install-recommends $missing >/dev/null
