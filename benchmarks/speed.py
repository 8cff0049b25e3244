"""Measure how fast stemd is beside Spleeter; `make speed` runs it.

Writes the tables of docs/speed.md, which describes what is timed.
"""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from platform import machine, python_version
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks import official, ours
from benchmarks.cost import Cost
from benchmarks.lesser_cpu import PROCESSORS, environment_of, restart_on, shown
from benchmarks.official import Official
from benchmarks.ours import PRECISIONS, Stemd, load, whole
from benchmarks.report import DOCS, markdown_table, replace_section
from benchmarks.rounds import Ratio, Seconds, clocked, in_turns, ratio
from stemd.daemon.capacity.processor import processor_name
from stemd.daemon.cli.recording import SONG
from stemd.dsp.scheme import CHANNELS, OFFLINE, SAMPLERATE
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.network import Network
from stemd.tflite_models.runtime import runtime_name
from stemd.tflite_models.spleeter.architecture import BINS
from stemd.tflite_models.spleeter.plain import write_graph
from stemd.tflite_models.spleeter.reader import read_weights
from stemd.tflite_models.store.install import Installer
from stemd.tflite_models.store.library import Library
from stemd.tflite_models.store.sets import ModelSet

ROOT = Path(__file__).parents[1]
DOCUMENT = DOCS / "speed.md"
SECTIONS = {"all": "speed", "avx2": "speed-avx2"}
"""Where the figures of a processor stand; those of others are only printed."""
SECONDS = 60
STEM = "vocals"
"""Whose network is timed; the other stems' have the same layers."""
COST = ("wall_s", "cpu_s", "peak_mb")
STOCK = ("stock fp32", "stock int8", "plain")
"""Graphs that stemd's are compared with: of TensorFlow's converter, and what stemd keeps."""


def warm(asked: Official, networks: ModelSet, song: Path, folder: Path, rounds: int) -> str:
    """Separate a loaded song by what is loaded, from memory to memory."""
    waveform = np.ascontiguousarray(soundfile.read(song, dtype="float32")[0].T)
    np.save(folder / "song.npy", waveform.T)
    asked.ask("load", waveform=str(folder / "song.npy"))
    loaded = {
        precision: Stemd(load(networks, whole(OFFLINE.T, precision)), waveform)
        for precision in PRECISIONS
    }
    rivals: dict[str, Callable[[], Seconds]] = {"official": lambda: Seconds(*asked.ask("separate"))}
    rivals |= {precision: clocked(stemd.separate) for precision, stemd in loaded.items()}
    in_turns(rivals, 1)  # each for the first time
    seconds = in_turns(rivals, rounds)
    asked.ask("save", folder=str(folder))
    theirs = np.stack([np.load(folder / f"{stem}.npy").T for stem in networks.stems])
    rows = [
        (
            precision,
            *ratios(seconds[precision], seconds["official"], ("wall", "cpu")),
            agreement(stemd.stems, theirs),
        )
        for precision, stemd in loaded.items()
    ]
    return markdown_table(("stemd", "time", "processor time", "agreement of the stems"), rows)


def agreement(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> str:
    """Return the level of each stem over that of its difference [shape=(stems, …)]."""
    assert ours.shape == theirs.shape
    power, difference = (
        np.square(each, dtype=np.float64).reshape(len(each), -1).sum(axis=1)
        for each in (theirs, ours - theirs)
    )
    return ", ".join(f"{db:.0f} dB" for db in 10 * np.log10(power / difference))


def commands(python: Path, checkpoint: Path, song: Path, folder: Path, rounds: int) -> str:
    """Run the whole commands, from a file to files."""
    environment = environment_of(shown(), {"PATH": os.environ["PATH"], "HOME": str(folder)})
    theirs = official.command(python, checkpoint, song, folder, environment)
    rivals: dict[str, Callable[[], Cost]] = {
        precision: ours.command(precision, song, folder, environment) for precision in PRECISIONS
    }
    first = in_turns(rivals, 1)
    theirs()
    costs = in_turns({"official": theirs, **rivals}, rounds)
    stems = read_stems(folder / "official" / song.stem)
    rows: list[tuple[object, ...]] = []
    for precision in PRECISIONS:
        agreed = agreement(read_stems(folder / precision), stems)
        once = first[precision] * rounds
        rows += [
            (precision, *ratios(costs[precision], costs["official"], COST), agreed),
            (f"{precision}, for the first time", *ratios(once, costs["official"], COST), ""),
        ]
    head = ("stemd", "time", "processor time", "memory", "agreement of the stems")
    return markdown_table(head, rows)


def ratios(ours: Sequence[object], theirs: Sequence[object], fields: Iterable[str]) -> list[Ratio]:
    """Return the ratio of each field of what was measured."""
    return [
        ratio([getattr(each, field) for each in ours], [getattr(each, field) for each in theirs])
        for field in fields
    ]


def read_stems(folder: Path) -> NDArray[np.float32]:
    """Read both stems' files [shape=(stems, frames, CHANNELS)]."""
    stems = ("vocals", "accompaniment")
    return np.stack([soundfile.read(folder / f"{stem}.wav", dtype="float32")[0] for stem in stems])


def graphs(asked: Official, networks: ModelSet, folder: Path, rounds: int) -> str:
    """Run the stock converter's graph of one stem and stemd's, one thread."""
    head = ("stemd", "stock fp32 over it", "stock int8 over it", "stemd's plain graph over it")
    rows: list[tuple[object, ...]] = []
    for name, T, B, A in (
        ("T=128 whole", 128, 128, 0),
        ("T=64 B=8 A=8", 64, 8, 8),
    ):
        files = stock_and_plain(asked, networks, T, folder)
        for precision in PRECISIONS:
            spec = GraphSpec(T=T, B=B, A=A, precision=precision)
            files[precision] = folder / f"{spec}.tflite"
            files[precision].write_bytes(dict(networks.write_graphs(spec))[STEM])
        times = time_networks(files, T, rounds)
        walls = {graph: [each.wall for each in times[graph]] for graph in times}
        rows += [
            (f"{name}, {precision}", *(ratio(walls[precision], walls[other]) for other in STOCK))
            for precision in PRECISIONS
        ]
    return markdown_table(head, rows)


def stock_and_plain(
    asked: Official,
    networks: ModelSet,
    T: int,
    folder: Path,
) -> dict[str, Path]:
    """Write the graphs that stemd's are compared with; they emit the whole window."""
    files = {name: folder / f"{name} {T}.tflite" for name in STOCK}
    for name in STOCK[:2]:
        asked.ask("convert", T=T, optimize=name == "stock int8", path=str(files[name]))
    unet, _ = read_weights(networks.paths[STEM])
    files["plain"].write_bytes(write_graph(unet, whole(T, "fp32"), {}))
    return files


def time_networks(files: Mapping[str, Path], T: int, rounds: int) -> dict[str, list[Seconds]]:
    """Time each graph, one thread, on magnitudes like a song's; give the times by name."""
    magnitudes = np.random.default_rng(0).rayleigh(1, (T, BINS, CHANNELS)).astype(np.float32)
    rivals = {}
    for name, path in files.items():
        network = Network(path)
        out = np.empty((network.B, BINS, CHANNELS), np.float32)
        rivals[name] = clocked(partial(network.in_order(), magnitudes, out))
    in_turns(rivals, 2)
    return in_turns(rivals, rounds)


def machine_line(about: Mapping[str, str]) -> str:
    """Name what the figures depend on."""
    runtime = runtime_name().replace("_", "-")
    return (
        f"Measured on {processor_name()} ({machine()}), {os.cpu_count()} cores, with "
        f"{PROCESSORS[shown()]}; "
        f"stemd {version('stemd')} with Python {python_version()}, "
        f"NumPy {version('numpy')}, {runtime} {version(runtime)}; "
        f"Spleeter with Python {about['python']}, TensorFlow {about['tensorflow']}."
    )


def main() -> None:
    """Measure, and write the document."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds; prints only")
    parser.add_argument("--processor", choices=PROCESSORS, default=shown(), help="see lesser_cpu")
    given = parser.parse_args()
    restart_on(given.processor, "benchmarks.speed")
    quick: bool = given.quick
    python = official.oracle_python()
    with TemporaryDirectory() as scratch:
        text = measure(python, Path(scratch), quick)
    print(text)
    if not quick and shown() in SECTIONS:
        replace_section(DOCUMENT, SECTIONS[shown()], text)


def write_minute(path: Path) -> None:
    """Write the bundled song, repeated until the minute is full."""
    waveform, samplerate = soundfile.read(SONG, dtype="float32")
    assert samplerate == SAMPLERATE
    soundfile.write(path, np.resize(waveform, (SECONDS * SAMPLERATE, CHANNELS)), samplerate)


def measure(python: Path, folder: Path, quick: bool) -> str:
    """Measure everything in a scratch folder; give the text."""
    song = folder / "song.wav"
    write_minute(song)
    with Official(python) as asked:
        about = asked.ask("about")
        checkpoint = Path(about["checkpoint"])
        library = Library(folder / "data", folder / "cache")
        networks = Installer(library).install("2stems", checkpoint)
        print("a loaded song …", file=sys.stderr)
        loaded = warm(asked, networks, song, folder, 3 if quick else 15)
    print("one graph …", file=sys.stderr)
    with Official(python) as asked:
        single = graphs(asked, networks, folder, 7 if quick else 40)
    print("whole commands …", file=sys.stderr)
    whole_commands = commands(python, checkpoint, song, folder, 2 if quick else 7)
    sections = {
        "A loaded song": loaded,
        "Whole commands": whole_commands,
        "One network, one thread": single,
    }
    texts = [machine_line(about), *(f"### {head}\n\n{text}" for head, text in sections.items())]
    return "\n\n".join(texts)


if __name__ == "__main__":
    main()
