# shellcheck shell=bash
# Sourced by the scripts that make a Debian of its own on this machine.

# The mirror that this machine has its packages from.
mirror() { awk '/^URIs:/ {print $2; exit}' /etc/apt/sources.list.d/debian.sources; }

# need PROGRAM PACKAGE: install it here unless it is there.
need() {
    ! command -v "$1" >/dev/null || return 0
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
        install -y -q --no-install-recommends "$2" >/dev/null
}

# share_sources ROOT SUITE: have packages come from where this machine has its own from.
share_sources() {
    cp -L /etc/resolv.conf "$1/etc/"
    mkdir -p "$1/etc/ssl/certs"
    cp -L /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"
    sed "s/bookworm/$2/g" /etc/apt/sources.list.d/debian.sources \
        >"$1/etc/apt/sources.list.d/debian.sources"
    : >"$1/etc/apt/sources.list"
    printf 'Acquire::Check-Valid-Until "false";\nAPT::Install-Recommends "false";\n' \
        >"$1/etc/apt/apt.conf.d/99here"
    [ ! -e /etc/pip.conf ] || cp -L /etc/pip.conf "$1/etc/pip.conf"
}
