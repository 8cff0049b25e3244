"""Steering a daemon that runs: its mixer, the socket, and those who speak through it."""
