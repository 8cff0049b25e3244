"""stemd as a sound device of the desktop, on PipeWire."""
