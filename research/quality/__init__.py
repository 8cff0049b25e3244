"""What a short delay and a low precision cost in decibels."""
