"""The interfaces that steer the daemon: socket, OSC, MIDI, metrics, NSM."""
