# shellcheck shell=bash
# Sourced by the scripts that make a Debian of its own on this machine.

# Where this machine has its packages from; one that was upgraded or installed by hand has a list instead.
sources=/etc/apt/sources.list.d/debian.sources
mirror() {
    cat $sources /etc/apt/sources.list 2>/dev/null |
        awk '/^URIs:/ {print $2; exit} /^deb .*:\/\// {sub(/\[[^]]*\] */, ""); print $2; exit}'
}

# need PROGRAM PACKAGE: install it here unless it is there.
need() {
    ! command -v "$1" >/dev/null || return 0
    apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
        install -y -q --no-install-recommends "$2" >/dev/null
}

# hold ROOT: wait until no other script makes or removes it, and keep others from that.
hold() {
    mkdir -p "$(dirname "$1")"
    exec 9>"$1.lock"
    flock 9
}

# share_sources ROOT SUITE: have packages come from where this machine has its own from.
share_sources() {
    cp -L /etc/resolv.conf "$1/etc/"
    mkdir -p "$1/etc/ssl/certs"
    cp -L /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"
    if [ -e $sources ]; then
        sed "s/bookworm/$2/g" $sources >"$1$sources"
        : >"$1/etc/apt/sources.list"
    else
        printf 'deb %s %s main\n' "$(mirror)" "$2" >"$1/etc/apt/sources.list"
    fi
    printf 'Acquire::Check-Valid-Until "false";\nAPT::Install-Recommends "false";\n' \
        >"$1/etc/apt/apt.conf.d/99here"
    [ ! -e /etc/pip.conf ] || cp -L /etc/pip.conf "$1/etc/pip.conf"
}
