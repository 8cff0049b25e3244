"""The audio server, and the daemon's place in its graph."""
