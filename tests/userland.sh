#!/bin/bash
# A Debian of its own on this machine, with an ordinary user, to see what users see. Asks for root.
#
#   userland.sh make KIND           unless it is there; two minutes
#   userland.sh run KIND COMMAND    in it, as root; as the user: AS=musician
#   userland.sh remove KIND
#
# KIND is one of
#   desktop    what GNOME, KDE and Xfce bring of sound; neither JACK nor a compiler
#   test       what the tests need, every audio server and players among it
#   here       this machine's own system, as it is
# Each run has processes, devices and shared memory of its own, and leaves no process behind. It
# forgets what it wrote, unless CHANGES names a folder that keeps it for the next run.
# PUT=FOLDER first brings a copy of a git checkout to the user's ~/stemd. ENV="A=1 B=2" sets variables.
#
# SUITE is the Debian to make (trixie), USERLANDS where they are (~/.cache/stemd/userlands).
set -euo pipefail
. "$(dirname "$0")/debian.sh"
usage() { sed -n '2,17s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
[ $# -ge 2 ] || usage
verb=$1 kind=$2
shift 2

user=musician
suite=${SUITE:-trixie}
folder=${USERLANDS:-${XDG_CACHE_HOME:-$HOME/.cache}/stemd/userlands}
root=$folder/$kind-$suite
case $kind in
desktop) packages="sudo git make pipewire-audio dbus dbus-user-session" ;;
test)
    packages="sudo git make gcc libc6-dev python3-venv python3-dev iproute2 procps
        pipewire pipewire-bin pipewire-pulse pipewire-jack wireplumber dbus dbus-user-session
        jackd2 libjack-jackd2-0 jack-example-tools jack-stdio pulseaudio-utils
        mpv ffmpeg mpd mpc liblo-tools"
    ;;
here) root=/ ;;
*) usage ;;
esac

# In a mount namespace of its own, that of `inside`.
mount_all() {
    local place=$1 device
    mount -t proc proc "$place/proc"
    mount -t sysfs -o ro sysfs "$place/sys"
    for device in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$place/$device"; done
    chmod 1777 "$place/tmp"
    for device in null zero full random urandom tty; do
        touch "$place/dev/$device"
        mount --bind "/dev/$device" "$place/dev/$device"
    done
    # Without those of logind, WirePlumber 0.4 ends.
    mkdir -p "$place/dev/shm" "$place/dev/pts" "$place/run/user" \
        "$place"/run/systemd/{seats,sessions,users,machines}
    mount -t tmpfs -o mode=1777 shm "$place/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$place/dev/pts"
    ln -s pts/ptmx "$place/dev/ptmx"
    ln -s /proc/self/fd "$place/dev/fd"
    ln -s /proc/self/fd/1 "$place/dev/stdout"
    ln -s /proc/self/fd/2 "$place/dev/stderr"
}

# Who sits at a desktop: without real-time rights, but with sudo.
add_user() {
    [ -d "$1/home/$user" ] || chroot "$1" useradd --create-home --shell /bin/bash $user
    [ ! -d "$1/etc/sudoers.d" ] || echo "$user ALL=(ALL) NOPASSWD: ALL" >"$1/etc/sudoers.d/$user"
}

make_root() {
    mkdir -p "$folder"
    [ $kind != here ] || return 0
    hold "$root"
    [ ! -e "$root/made" ] || return 0
    need debootstrap debootstrap
    rm -rf --one-file-system "$root"
    debootstrap --variant=minbase --include=ca-certificates,python3 "$suite" "$root" "$(mirror)" >"$root.log"
    share_sources "$root" "$suite"
    CHANGES=root run apt-get update -q >>"$root.log"
    # shellcheck disable=SC2086 # they are several
    CHANGES=root run env DEBIAN_FRONTEND=noninteractive apt-get install -y -q $packages >>"$root.log"
    CHANGES=root run apt-get clean
    touch "$root/made"
    rm "$root.log"
}

# Starts itself anew as the first process of namespaces of its own.
run() {
    local scratch=${CHANGES:-} status=0
    mkdir -p "$folder"
    [ -n "$scratch" ] || scratch=$(mktemp -d "$folder/run.XXXXXX")
    unshare --mount --pid --fork --ipc --uts --kill-child "$0" inside "$kind" "$scratch" "$@" || status=$?
    [ -n "${CHANGES:-}" ] || rm -rf --one-file-system "$scratch"
    return $status
}

inside() {
    local scratch=$1 place=$root
    shift
    mount --make-rprivate /
    if [ "$scratch" != root ]; then
        place=$scratch/root
        mkdir -p "$scratch/changes" "$scratch/work" "$place"
        mount -t overlay overlay \
            -o "lowerdir=$root,upperdir=$scratch/changes,workdir=$scratch/work" "$place"
    else
        mount --bind "$root" "$root" # what is pivoted to must be a mount
    fi
    mount_all "$place"
    hostname "$kind" && printf '127.0.0.1 localhost %s\n' "$kind" >"$place/etc/hosts"
    add_user "$place"
    [ -z "${PUT:-}" ] || put "$PUT" "$place/home/$user/stemd"
    local owner=${AS:-root} home=/root number=0
    [ "$owner" = root ] || {
        home=/home/$owner number=$(chroot "$place" id -u "$owner")
        install -d -m 700 -o "$number" -g "$number" "$place/run/user/$number"
    }
    # Not chroot: whoever is in one may make no namespaces.
    cd "$place"
    pivot_root . . && umount -l .
    local as=(setpriv "--reuid=$owner" "--regid=$owner" --init-groups)
    [ "$owner" != root ] || as=()
    # shellcheck disable=SC2086 # they are several
    exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME="$home" \
        USER="$owner" LOGNAME="$owner" LC_ALL=C.UTF-8 XDG_RUNTIME_DIR="/run/user/$number" \
        $ENV \
        ${as[@]+"${as[@]}"} sh -c 'cd; exec "$@"' sh "$@"
}

# What git knows of a checkout and what is new in it; environments that are there stay, and what was
# compiled.
put() {
    mkdir -p "$2"
    find "$2" -type f ! -path "$2/.venv*" ! -name '*.so' -delete
    git -C "$1" -c "safe.directory=$1" ls-files -z --cached --others --exclude-standard |
        (cd "$1" && while IFS= read -r -d '' name; do [ ! -e "$name" ] || printf '%s\0' "$name"; done) |
        tar -C "$1" --null --files-from=- -c | tar -C "$2" --no-same-owner -x
    chown -R --reference="$place/home/$user" "$2"
}

ENV=${ENV:-}
case $verb in
make) make_root ;;
run) run "$@" ;;
inside) inside "$@" ;;
remove) [ $kind = here ] || { hold "$root" && rm -rf --one-file-system "$root"; } ;;
*) usage ;;
esac
