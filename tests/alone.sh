#!/bin/sh
# alone.sh COMMAND: run it with processes, shared memory and network of its own, so that the servers,
# names and ports of tests that run beside each other never meet. As an ordinary user too.
#
# JACK2 keeps in /dev/shm what all servers and clients of a user share: eight names, one database.
set -eu
more=
[ "$(id -u)" = 0 ] || more="--map-current-user --keep-caps" # root would lose its real-time rights by it
# shellcheck disable=SC2086 # it may be two options, or none
exec unshare $more --mount --pid --fork --mount-proc --ipc --net --kill-child sh -euc '
    mount -t tmpfs -o mode=1777 shm /dev/shm
    ip link set lo up
    status=0 # the shell stays, to bury whatever loses its parent
    setpriv --ambient-caps=-all --inh-caps=-all "$@" || status=$?
    exit $status' sh "$@"
