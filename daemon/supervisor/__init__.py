"""The life of the daemon, from server to server."""
