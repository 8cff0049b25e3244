#!/bin/bash
# Makes a Debian package of stemd and of all Python packages that it needs. `make deb` runs this, after
# `make wheels`. It needs neither root nor the Debian that the package is for.
#
#   build.sh RELEASE-ARCH     13-amd64, for example: dist/stemd_VERSION~deb13_amd64.deb
#
# PIP and STEMD name the programs that it uses, COMPRESS (-Zxz) is how dpkg-deb is to compress, REVISION
# (1) is Debian's part of the version.
# DEBFULLNAME and DEBEMAIL are whom users of the package write to.
set -euo pipefail
umask 022
release=${1%-*} arch=${1#*-}
here=$(cd "$(dirname "$0")" && pwd) checkout=$(cd "$(dirname "$0")/../.." && pwd)
case $release in # Python and glibc of the release
12) python=3.11 next=3.12 glibc=36 ;;
13) python=3.13 next=3.14 glibc=41 ;;
*) echo "RELEASE must be 12 or 13 (got $release)" >&2 && exit 2 ;;
esac
case $arch in # as wheels call it
amd64) machine=x86_64 ;;
arm64) machine=aarch64 ;;
*) echo "ARCH must be amd64 or arm64 (got $arch)" >&2 && exit 2 ;;
esac
extras=metrics,osc,top,web
COMPRESS=${COMPRESS:--Zxz}

cd "$checkout"
version=$(sed -n 's/^VERSION = "\(.*\)"/\1/p' daemon/version.py)-${REVISION:-1}~deb$release
maintainer="${DEBFULLNAME:-stemd maintainers} <${DEBEMAIL:-maintainers@stemd.invalid}>"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
root=build/deb/$1 packages=usr/lib/stemd/lib/python$python/site-packages
rm -rf "$root" && mkdir -p "$root/DEBIAN" "$root/usr/lib/stemd/bin"

# install_file MODE FROM TO: a file of the package; FROM may be - for standard input.
install_file() { install -D -m "$1" "${2/#-/\/dev/stdin}" "$root/$3"; }

# An environment as `python -m venv` makes it, without pip: it sees no other packages than its own.
install_environment() {
    local platforms=(--platform "manylinux2014_$machine") minor
    for ((minor = 17; minor <= glibc; minor++)); do
        platforms+=(--platform "manylinux_2_${minor}_$machine")
    done
    $PIP install --quiet --no-compile --target "$root/$packages" --python-version "$python" \
        --only-binary :all: "${platforms[@]}" "$(echo dist/stemd-*_"$machine".whl)[$extras]"
    rm -r "$root/$packages/"{bin,share,stemd-*.dist-info/direct_url.json}
    # A quarter of it all, and of no use: tests, and LiteRT for other processors than the CPU.
    find "$root/$packages" -type d -name tests -prune -exec rm -r {} +
    rm -rf "$root/$packages/ai_edge_litert/"{tools,vendors,libLiteRtWebGpuAccelerator.so}
    find "$root/$packages" -type f -exec chmod 644 {} +
    ln -s "../../../bin/python$python" "$root/usr/lib/stemd/bin/python3"
    printf 'home = /usr/bin\ninclude-system-site-packages = false\nversion = %s\n' "$python" |
        install_file 644 - usr/lib/stemd/pyvenv.cfg
    printf '#!/usr/lib/stemd/bin/python3\nfrom stemd.daemon.cli.start import main\n\nmain()\n' |
        install_file 755 - usr/lib/stemd/bin/stemd
    install_file 755 "$here/services" usr/lib/stemd/services
    mkdir -p "$root/usr/bin" && ln -s ../lib/stemd/bin/stemd "$root/usr/bin/stemd"
}

install_unit_and_entry() {
    sed 's:@stemd@:/usr/bin/stemd:; s:@options@::' systemd/stemd.user.service |
        install_file 644 - usr/lib/systemd/user/stemd.service
    install_file 644 desktop/stemd.desktop usr/share/applications/stemd.desktop
    install_file 644 desktop/stemd.svg usr/share/icons/hicolor/scalable/apps/stemd.svg
}

install_completions() {
    $STEMD completion bash | install_file 644 - usr/share/bash-completion/completions/stemd
    $STEMD completion zsh | install_file 644 - usr/share/zsh/vendor-completions/_stemd
    $STEMD completion fish | install_file 644 - usr/share/fish/vendor_completions.d/stemd.fish
}

install_documents() {
    local page doc=usr/share/doc/stemd
    for page in docs/man/*.1; do
        gzip -9nc "$page" | install_file 644 - "usr/share/man/man1/$(basename "$page").gz"
    done
    for page in README.md THIRD-PARTY.md docs/*.md; do
        install_file 644 "$page" "$doc/$page"
    done
    install_file 644 config.yaml $doc/examples/config.yaml
    gzip -9nc CHANGELOG.md | install_file 644 - $doc/changelog.gz
    printf 'stemd (%s) stable; urgency=medium\n\n  * See changelog.gz.\n\n -- %s  %s\n' \
        "$version" "$maintainer" "$(date -uRd "@$SOURCE_DATE_EPOCH")" |
        gzip -9n | install_file 644 - $doc/changelog.Debian.gz
    { cat "$here/copyright" && sed '1,4d; s/^$/./; s/^/ /' LICENSE; } | install_file 644 - $doc/copyright
    install_file 644 "$here/lintian-overrides" usr/share/lintian/overrides/stemd
}

install_control() {
    sed "s/@version@/$version/; s/@arch@/$arch/; s/@maintainer@/$maintainer/
        s/@python@/$python/g; s/@next@/$next/; s/@size@/$(du -ks "$root/usr" | cut -f1)/" \
        "$here/control" | install_file 644 - DEBIAN/control
    install_file 755 "$here/postinst" DEBIAN/postinst
    install_file 755 "$here/prerm" DEBIAN/prerm
    (cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) | install_file 644 - DEBIAN/md5sums
}

install_environment
install_unit_and_entry
install_completions
install_documents
install_control
# shellcheck disable=SC2086 # they are several
dpkg-deb --root-owner-group $COMPRESS --build "$root" "dist/stemd_${version}_$arch.deb"
rm -r "$root"
