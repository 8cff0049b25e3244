#!/bin/sh
# Boots a systemd as PID 1 of namespaces of its own, on a copy of a root file system that forgets: what
# it changes stays in the folder SCRATCH (overlayfs).
#
#   unshare --mount --pid --fork --uts --ipc --net --cgroup --kill-child boot.sh SCRATCH ROOT [CHECKOUT]
#
# ROOT is / for this machine's own. CHECKOUT, a folder with an environment in it, is there too, wherever
# it is.
set -eu
scratch=$1 checkout=${3:-} root=$1/root
mkdir -p "$scratch/changes" "$scratch/work" "$scratch/checkout" "$scratch/checkout-work" "$root"
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$2,upperdir=$scratch/changes,workdir=$scratch/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for folder in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$root/$folder"; done
chmod 1777 "$root/tmp"
if [ -n "$checkout" ]; then
    mkdir -p "$root$checkout"
    mount -t overlay overlay \
        -o "lowerdir=$checkout,upperdir=$scratch/checkout,workdir=$scratch/checkout-work" "$root$checkout"
    chmod o+rx "$root$checkout"
    folder=$checkout
    while [ "$folder" != / ]; do
        chmod o+x "$root$folder"
        folder=$(dirname "$folder")
    done
fi
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
# Nobody needs these here, and some would look for what is not there.
for unit in systemd-udevd.service systemd-timesyncd.service systemd-networkd.service \
    systemd-resolved.service postgresql.service apt-daily.timer apt-daily-upgrade.timer \
    fstrim.timer e2scrub_all.timer getty@tty1.service console-getty.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
mkdir -p "$root/var/log/journal"
chmod o+x "$root/root" # the interpreter may be in there
exec env -i container=stemd PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    chroot "$root" /lib/systemd/systemd --unit=multi-user.target --log-target=console --show-status=0
