"""What `stemd demo` does and prints around `demonstrate`."""

from pathlib import Path
from tempfile import TemporaryFile

from stemd.daemon.cli.demonstration import SONG, Demonstration, demonstrate, draw, write_stems
from stemd.daemon.cli.terminal import echo
from stemd.daemon.config import Config
from stemd.daemon.errors import StemdError
from stemd.daemon.packages import install_extra
from stemd.dsp.scheme import SAMPLERATE


def demo_song(config: Config, folder: Path, song: Path | None) -> None:
    """Play, record, write, draw, and say how it went.

    Raises
    ------
    StemdError, ModelError
        With what, value, rule and remedy.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StemdError(
            f"cannot write into {folder}: {error.strerror}; give another (-o)"
        ) from None
    echo(f"playing {song or SONG} through the daemon, in real time …", err=True)
    demonstration = demonstrate(config, song or SONG)
    files = write_stems(demonstration, folder)
    picture = folder / "stems.png"
    try:
        draw(demonstration, picture)
        files.append(picture)
    except ImportError:
        echo(f"no picture: it needs matplotlib: {install_extra('demo')}", err=True)
    except OSError as error:
        echo(f"no picture: {picture}: {error.strerror}", err=True)
    for file in files:
        echo(str(file))
    echo(*_summary(demonstration))


def _summary(demonstration: Demonstration) -> list[str]:
    report = demonstration.report
    seconds = demonstration.declared_delay / SAMPLERATE
    loads = ", ".join(f"{who} {load:.0%}" for who, load in report.load.items() if who != "engine")
    return [
        f"delay: {demonstration.declared_delay} frames ({seconds:.3f} s) declared, "
        f"{_or_not(demonstration.measured_delay)} measured",
        f"load: {loads}, signal processing {report.load['engine']:.0%} of one core",
        f"late: {report.blocks.late} of {report.blocks.total} blocks, "
        f"{report.link.late_periods} periods",
    ]


def _or_not(frames: int | None) -> str:
    return "none" if frames is None else str(frames)
