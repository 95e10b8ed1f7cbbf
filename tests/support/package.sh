#!/bin/sh
# Packs what a server needs: package.sh EXTENSION FOLDER
# The archive holds slbp.so, slbp.ini, the stubs, the container and the plugin as the zip that WordPress installs.
set -eu

extension=$1 folder=$2
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
php=$(php-config --version | cut -d. -f1,2)
name=slbp-$version-php$php-$(uname -m)-linux-gnu
stage=$folder/$name

rm -rf "$folder"
mkdir -p "$stage" "$folder/plugin"

cp "$extension" "$stage/slbp.so"
cp php/ini/slbp.ini LICENSE LICENSE-MIT LICENSE-APACHE README.md "$stage/"
cp -r stubs "$stage/"
mkdir "$stage/bin"
cp php/bin/slbp php/bin/doctor.php "$stage/bin/"

cp -r wordpress-plugin "$folder/plugin/slbp"
rm -f "$folder/plugin/slbp/.phpcs.xml"
# The container travels with the plugin (wordpress-plugin/includes/requirements.php looks for it there).
cp -r php/src "$folder/plugin/slbp/lib"
(cd "$folder/plugin" && /usr/bin/python3 -m zipfile -c "../$name/slbp-plugin.zip" slbp)

# Fixed order, owner and time, so that the same input packs to the same bytes.
tar -C "$folder" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -czf "$folder/$name.tar.gz" "$name"
rm -rf "$folder/plugin"
echo "$folder/$name.tar.gz"
