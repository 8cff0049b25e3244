"""The signal processing: transform, masks, sliding window. No threads, files or JACK."""
