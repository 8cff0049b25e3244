"""The separation in real time: threads, networks, and the compiled side."""
