"""Where the program begins."""

from stemd.daemon.lean import without_openssl


def main() -> None:
    """Run the command line."""
    with without_openssl():
        from stemd.daemon.cli import main as run
    run()
