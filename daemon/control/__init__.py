"""Steering a running daemon: its mixer, the protocol, and the interfaces."""
