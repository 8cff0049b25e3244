#!/bin/sh
# alone.sh COMMAND: run it with processes, shared memory and network of its own, so that the servers,
# names and ports of tests that run beside each other never meet. As root, or by sudo without a
# password, which is given back at once.
#
# JACK2 keeps in /dev/shm what all servers and clients of a user share: eight names, one database.
set -eu
# Namespaces of an ordinary user's own would do, were root not somebody unknown in there, to whom / and
# /tmp belong.
[ "$(id -u)" = 0 ] || exec sudo -nE env "PATH=$PATH" "HOME=$HOME" "AS=$(id -un)" "$0" "$@"
exec unshare --mount --pid --fork --mount-proc --ipc --net --kill-child sh -euc '
    mount -t tmpfs -o mode=1777 shm /dev/shm
    ip link set lo up
    [ -z "${AS:-}" ] || set -- setpriv "--reuid=$AS" "--regid=$AS" --init-groups env -u AS \
        -u SUDO_USER -u SUDO_UID -u SUDO_GID -u SUDO_COMMAND -u SUDO_HOME \
        "USER=$AS" "LOGNAME=$AS" "$@"
    status=0 # the shell stays, to bury whatever loses its parent
    "$@" || status=$?
    exit $status' sh "$@"
