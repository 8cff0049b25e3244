#!/bin/bash
# In a Debian as a desktop brings it, as its ordinary user: from a clone to sound, by `make run` alone.
# Prints the log of `make run`, then a line for each figure.
set -emu # m: a job is a process group, which Ctrl-C can end
sudo mkdir -p /run/dbus && sudo dbus-daemon --system --fork
export DBUS_SESSION_BUS_ADDRESS=unix:path=$XDG_RUNTIME_DIR/bus
dbus-daemon --session --address="$DBUS_SESSION_BUS_ADDRESS" --fork
cd ~/stemd

wait_for() { # SECONDS COMMAND
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $until ] || { echo "never: $*" && cat ~/log && exit 1; }
        sleep 0.1
    done
}
has_speakers() { pw-link -i | grep -q auto_null; }

# As a session starts them: one after the other. Until its speakers are there, WirePlumber links none.
touch ~/log
pipewire >/dev/null 2>&1 &
wait_for 10 test -S "$XDG_RUNTIME_DIR/pipewire-0"
wireplumber >/dev/null 2>&1 & pipewire-pulse >/dev/null 2>&1 &
wait_for 60 has_speakers

ended() { ! kill -0 "$stemd"; }
plays_or_ended() { grep -q 'separating into' ~/log || ended; }

make run >~/log 2>&1 & stemd=$!
wait_for 480 plays_or_ended
cat ~/log
! ended || exit 1
echo "seconds: $SECONDS"

.venv/bin/python - <<'END'
import numpy as np, soundfile
t = np.arange(10 * 48_000) / 48_000
soundfile.write("/tmp/song.wav", np.tile(0.3 * np.sin(2 * np.pi * 220 * t), (2, 1)).T, 48_000)
END
pw-cat --playback --target 0 /tmp/song.wav & player=$!
wait_for 10 pw-link pw-cat:output_FL stemd:in_L
wait_for 10 pw-link pw-cat:output_FR stemd:in_R
pw-cat --record --target 0 --rate 48000 --channels 2 /tmp/heard.wav & recorder=$!
for stem in vocals accompaniment; do
    wait_for 10 pw-link stemd:${stem}_L pw-cat:input_FL
    wait_for 10 pw-link stemd:${stem}_R pw-cat:input_FR
done
wait $player || true
sleep 1 # as late as the stems are, and more
kill -INT $recorder && wait $recorder || true
.venv/bin/python - <<'END'
import soundfile
heard, rate = soundfile.read("/tmp/heard.wav")
print(f"peak: {abs(heard).max():.3f}")
END
.venv/bin/stemd status
kill -INT -- -$stemd
wait $stemd || echo "exit code: $?"
