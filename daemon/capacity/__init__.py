"""What this machine holds: measured, remembered, or estimated."""
