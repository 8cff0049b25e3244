"""Finding the servers that the tests started."""

from pathlib import Path


def process_of(server: str) -> int:
    """The process of the jackd of this name."""
    return int(_folder(server).name)


def options_of(server: str) -> list[str]:
    """The options that the jackd of this name was started with."""
    return _command(_folder(server))[1:]


def _folder(server: str) -> Path:
    for folder in Path("/proc").glob("[0-9]*"):
        command = _command(folder)
        if command[0].endswith("jackd") and server in command:
            return folder
    raise AssertionError(f"no jackd named {server}")


def _command(folder: Path) -> list[str]:
    try:
        return (folder / "cmdline").read_text().split("\0")
    except OSError:  # it ended meanwhile
        return [""]
