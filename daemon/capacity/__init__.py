"""What this machine is fast enough for: measured, saved, or estimated."""
