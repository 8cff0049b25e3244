"""`stemd demo`."""

from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import click

from stemd.daemon.cli.options import ConfigSource, NamedPath, with_config
from stemd.daemon.cli.terminal import echo
from stemd.daemon.config import Config
from stemd.daemon.errors import StemdError
from stemd.daemon.packages import install_extra
from stemd.daemon.wording import counted
from stemd.dsp.scheme import SAMPLERATE

if TYPE_CHECKING:
    from stemd.daemon.cli.recording import Recording


@click.command()
@with_config("networks", "stems", "preset")
@click.option(
    "-o",
    "--output",
    "folder",
    type=NamedPath(file_okay=False),
    default=Path("demo"),
    help="Folder for the stems and the picture.",
    show_default=True,
)
@click.option(
    "--song",
    type=NamedPath(dir_okay=False),
    help="The song to play; by default the bundled one.",
)
def demo(source: ConfigSource, folder: Path, song: Path | None) -> None:
    """Play a song, and record its stems.

    Plays in real time through stemd on a private JACK server.
    """
    demo_song(source.load(), folder, song)


def demo_song(config: Config, folder: Path, song: Path | None) -> None:
    """Play a song, record and write its stems, draw them, and print the figures.

    Raises
    ------
    StemdError, ModelError
        With what, value, rule and remedy.
    """
    from stemd.daemon.cli.recording import SONG, play_and_record, read_song, write_stems

    mixture = read_song(song or SONG)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StemdError(
            f"cannot write into {folder}: {error.strerror}; give another (-o)"
        ) from None
    echo(f"playing {song or SONG} through the daemon, in real time …", err=True)
    recording = play_and_record(config, mixture)
    for file in (*write_stems(recording, folder), *_draw(recording, folder / "stems.png")):
        echo(str(file))
    echo(*_summary(recording))


def _draw(recording: "Recording", picture: Path) -> list[Path]:
    """Return the picture that was drawn; none where that is not possible."""
    from stemd.daemon.cli.recording import draw

    try:
        draw(recording, picture)
    except ImportError:
        echo(f"no picture: it needs matplotlib: {install_extra('demo')}", err=True)
        return []
    except OSError as error:
        echo(f"no picture: {picture}: {error.strerror}", err=True)
        return []
    return [picture]


def _summary(recording: "Recording") -> list[str]:
    report = recording.report
    seconds = recording.declared_delay / SAMPLERATE
    loads = ", ".join(
        f"{stem} {load:.0%}" for stem, load in report.load.items() if stem != "engine"
    )
    measured = "none" if recording.measured_delay is None else str(recording.measured_delay)
    return [
        f"delay: {recording.declared_delay} frames ({seconds:.3f} s) declared, {measured} measured",
        f"load: {loads}, signal processing {report.load['engine']:.0%} of one core",
        f"late: {report.blocks.late} of {report.blocks.total} blocks, "
        f"{counted(report.link.late_periods, 'period')}",
    ]
