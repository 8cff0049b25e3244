#!/bin/sh
# Fetch RealtimeSanitizer's runtime for Clang 22 into a folder: of Debian's development version, for its
# releases have none yet. Nothing is installed.
# usage: fetch_runtime.sh FOLDER
set -eu
package=libclang-rt-22-dev
mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
cd "$1"
echo "deb http://deb.debian.org/debian sid main" >sources.list
: >status
apt_of_sid() {
  apt-get -q -o Dir::Etc::sourcelist="$PWD/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$PWD/lists" -o Dir::State::status="$PWD/status" -o Dir::Cache="$PWD/cache" "$@"
}
apt_of_sid update >/dev/null
apt_of_sid download "$package" >/dev/null 2>&1
dpkg-deb -x "$package"_*.deb package
cp package/usr/lib/llvm-22/lib/clang/22/lib/linux/libclang_rt.rtsan-*.a rtsan.a
rm -rf package "$package"_*.deb lists cache
