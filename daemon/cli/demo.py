"""`stemd demo`."""

from collections.abc import Callable
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
@click.option(
    "--compare",
    is_flag=True,
    help="Instead, separate ten seconds of the song by every preset and offline, to compare them.",
)
def demo(source: ConfigSource, folder: Path, song: Path | None, compare: bool) -> None:
    """Play a song, and record its stems.

    Plays in real time through stemd on a private JACK server.

    With --compare nothing is played. The folder then has each stem as STEM-PRESET.wav, and the
    picture shows what each preset's delay costs: the difference from offline, where the
    networks hear what comes after, too.
    """
    (compare_presets if compare else demo_song)(source.load(), folder, song)


def demo_song(config: Config, folder: Path, song: Path | None) -> None:
    """Play a song, record and write its stems, draw them, and print the figures.

    Raises
    ------
    StemdError, ModelError
        With what, value, rule and remedy.
    """
    from stemd.daemon.cli.recording import SONG, draw, play_and_record, read_song, write_stems

    mixture = read_song(song or SONG)
    _check_writable(folder)
    echo(f"playing {song or SONG} through the daemon, in real time …", err=True)
    recording = play_and_record(config, mixture)
    picture = folder / "stems.png"
    files = [
        *write_stems(recording, folder),
        *_drawn(lambda: draw(recording, picture), picture),
    ]
    echo(*map(str, files), *_summary(recording))


def compare_presets(config: Config, folder: Path, song: Path | None) -> None:
    """Separate ten seconds of a song by every preset, write and draw them, and print the figures.

    Raises
    ------
    StemdError, ModelError
        With what, value, rule and remedy.
    """
    from stemd.daemon.cli.comparison import draw, excerpt_of, summary, takes, write_takes
    from stemd.daemon.cli.recording import SONG, read_song

    excerpt = excerpt_of(read_song(song or SONG))
    _check_writable(folder)
    echo(f"separating ten seconds of {song or SONG} by every preset …", err=True)
    taken = list(takes(config, excerpt))
    picture = folder / "compare.png"
    files = [
        *write_takes(taken, excerpt, folder),
        *_drawn(lambda: draw(taken, excerpt, picture), picture),
    ]
    echo(*map(str, files), *summary(taken))


def _check_writable(folder: Path) -> None:
    """Make the folder if it is missing.

    Raises
    ------
    StemdError
        It cannot be written into.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StemdError(
            f"cannot write into {folder}: {error.strerror}; give another (-o)"
        ) from None


def _drawn(draw: Callable[[], None], picture: Path) -> list[Path]:
    """Return the picture that was drawn; none where that is not possible."""
    try:
        draw()
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
