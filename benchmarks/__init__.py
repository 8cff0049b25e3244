"""How fast stemd is, and what it takes: programs that measure, each run as a module."""
