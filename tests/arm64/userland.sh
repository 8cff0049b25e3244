#!/bin/bash
# A Debian for 64-bit ARM on this machine: its programs run by qemu's user emulation, some thirty
# times as slow as this machine's own. Asks for root, on Debian.
#
#   userland.sh make          unless it is there; some minutes
#   userland.sh run COMMAND   in it
#   userland.sh remove
#
# ARM_ROOT says where (/var/tmp/stemd-arm64-SUITE), SUITE which Debian (bookworm), QEMU_CPU which
# processor (cortex-a53, which can the least; cortex-a72 and cortex-a76 are known too).
set -euo pipefail
. "$(dirname "$0")/../debian.sh"
suite=${SUITE:-bookworm}
root=${ARM_ROOT:-/var/tmp/stemd-arm64-$suite}
export QEMU_CPU=${QEMU_CPU:-cortex-a53}
packages="libjack-jackd2-0 jackd2 libsndfile1" # and no compiler
[ "$suite" = bookworm ] || packages+=" jack-example-tools"
binfmt=/proc/sys/fs/binfmt_misc

make_tools() {
    need debootstrap debootstrap
    need qemu-aarch64-static qemu-user-static
}

# The kernel hands ARM programs to qemu, which it opens once: the root needs no copy of it.
hand_over() {
    [ -e $binfmt/register ] || mount -t binfmt_misc binfmt_misc $binfmt
    [ -e $binfmt/qemu-aarch64 ] || grep -v '^#' /usr/lib/binfmt.d/qemu-aarch64.conf >$binfmt/register
}

# /dev/shm is its own, lest its jackd and ours meet. LiteRT looks into /proc/cpuinfo, and crashes if
# that shows another kind of processor than it runs on; and into /sys, without which it is slow.
mount_all() {
    hand_over
    mkdir -p "$root/dev/shm" "$root/dev/pts"
    cpuinfo >"$root/etc/cpuinfo"
    mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
    mountpoint -q "$root/sys" || mount -t sysfs -o ro sysfs "$root/sys"
    mountpoint -q "$root/dev/pts" || mount -t devpts -o ptmxmode=666 devpts "$root/dev/pts"
    mountpoint -q "$root/dev/shm" || mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
    mountpoint -q "$root/proc/cpuinfo" || mount --bind "$root/etc/cpuinfo" "$root/proc/cpuinfo"
}

unmount_all() {
    for place in proc/cpuinfo dev/shm dev/pts sys proc; do
        ! mountpoint -q "$root/$place" || umount "$root/$place"
    done
}

cpuinfo() {
    local part features="fp asimd evtstrm crc32 cpuid"
    case $QEMU_CPU in
    cortex-a53) part=0xd03 ;;
    cortex-a72) part=0xd08 ;;
    cortex-a76) part=0xd0b features="$features atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp" ;;
    *) echo "QEMU_CPU must be cortex-a53, -a72 or -a76 (got $QEMU_CPU)" >&2 && exit 2 ;;
    esac
    for ((core = 0; core < $(nproc); core++)); do
        printf 'processor\t: %d\nFeatures\t: %s\n' $core "$features"
        printf 'CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\n'
        printf 'CPU part\t: %s\nCPU revision\t: 1\n\n' $part
    done
}

make_root() {
    make_tools && hand_over
    hold "$root"
    if [ ! -e "$root/made" ]; then
        unmount_all
        rm -rf --one-file-system "$root" && mkdir -p "$root"
        debootstrap --arch=arm64 --foreign --variant=minbase --include=ca-certificates,python3,python3-venv \
            "$suite" "$root" "$(mirror)" >/dev/null
        chroot "$root" /debootstrap/debootstrap --second-stage >/dev/null
        share_sources "$root" "$suite" && mount_all
        run apt-get update -q >/dev/null
        # shellcheck disable=SC2086 # they are several
        run env DEBIAN_FRONTEND=noninteractive apt-get install -y -q $packages >/dev/null
        run apt-get clean
        touch "$root/made"
    fi
}

run() {
    mount_all
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        QEMU_CPU="$QEMU_CPU" chroot "$root" "$@"
}

case ${1:-} in
make) make_root ;;
run) shift && run "$@" ;;
remove) hold "$root" && unmount_all && rm -rf --one-file-system "$root" ;;
*) sed -n '2,11s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
