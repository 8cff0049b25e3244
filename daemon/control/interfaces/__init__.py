"""The ways to steer the daemon: socket, OSC, MIDI, metrics, NSM."""
