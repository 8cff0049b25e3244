"""Measures how fast stemd is beside the official program; `make speed` runs it.

Writes the tables of docs/speed.md, which tells what is timed.
"""

import json
import os
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from platform import machine, python_version
from shutil import which
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import soundfile
from numpy.typing import NDArray

from cost import cost_of
from report import DOCS, markdown_table, replace_section
from rounds import Ratio, Seconds, clocked, in_turns, ratio
from stemd.daemon.config import SeparationSection
from stemd.daemon.separate import aligned
from stemd.daemon.workers import WorkerPool
from stemd.dsp.arrays import Waveform
from stemd.dsp.masks import MaskExtension
from stemd.dsp.pipeline import Pipeline
from stemd.dsp.scheme import OFFLINE, SAMPLERATE
from stemd.dsp.separator import Separator
from stemd.tflite_models.graph import write_graph
from stemd.tflite_models.install import Installer
from stemd.tflite_models.library import Library
from stemd.tflite_models.model_reader import read_weights
from stemd.tflite_models.model_set import ModelSet
from stemd.tflite_models.network import Network
from stemd.tflite_models.runtime import runtime_name
from stemd.tflite_models.spec import GraphSpec
from stemd.tflite_models.unet import BINS, CHANNELS

ROOT = Path(__file__).parents[1]
DOCUMENT = DOCS / "speed.md"
STEMD = Path(sys.executable).with_name("stemd")

PRECISIONS: tuple[str, ...] = get_args(SeparationSection.model_fields["precision"].annotation)
SONG = ROOT / "daemon" / "song" / "slow-motion-dream.mp3"
SECONDS = 60
STEM = "vocals"
"""Whose network is timed; the other stems' have the same layers."""
OPTIONS = ("--stems", "2", "--mask-extension", "zeros")
COST = ("wall_s", "cpu_s", "peak_mb")
STOCK = ("stock fp32", "stock int8", "plain")
"""Graphs that stemd's are compared with: of TensorFlow's converter, and what stemd keeps."""


class Official:
    """Asks `speed_official.py`, which runs in the environment of `make oracle`."""

    def __init__(self, python: Path) -> None:
        self._process = subprocess.Popen(
            [python, Path(__file__).with_name("speed_official.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> "Official":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def ask(self, do: str, **arguments: object) -> Any:
        """Have one of its requests done, and give the answer."""
        assert self._process.stdin and self._process.stdout
        print(json.dumps({"do": do, **arguments}), file=self._process.stdin, flush=True)
        if answer := self._process.stdout.readline():
            return json.loads(answer)
        sys.exit(f"the official side ended at `{do}`; try it alone: {self._process.args!r}")


class Stemd:
    """`stemd separate --offline` from memory to memory."""

    def __init__(self, networks: Mapping[str, Network], waveform: Waveform) -> None:
        self._networks = networks
        self._mixture = waveform
        shape = (len(networks), CHANNELS, waveform.shape[1])
        self.stems: NDArray[np.float32] = np.empty(shape, np.float32)

    def separate(self) -> None:
        """Fill `stems` [shape=(stems, CHANNELS, frames)]."""
        workers = WorkerPool(self._networks, patience=lambda: None)
        separator = Separator(OFFLINE, len(self._networks), workers, MaskExtension.ZEROS)
        frames = self._mixture.shape[1]
        rows = self.stems.reshape(-1, frames)
        done = 0
        try:
            for block in aligned([self._mixture], frames, Pipeline(separator, SAMPLERATE)):
                rows[:, done : done + block.shape[1]] = block
                done += block.shape[1]
        finally:
            workers.stop()


def warm(official: Official, networks: ModelSet, song: Path, folder: Path, rounds: int) -> str:
    """Separate a loaded song by what is loaded, from memory to memory."""
    waveform = np.ascontiguousarray(soundfile.read(song, dtype="float32")[0].T)
    np.save(folder / "song.npy", waveform.T)
    official.ask("load", waveform=str(folder / "song.npy"))
    ours = {
        precision: Stemd(load(networks, whole(OFFLINE.T, precision)), waveform)
        for precision in PRECISIONS
    }
    rivals: dict[str, Callable[[], Seconds]] = {
        "official": lambda: Seconds(*official.ask("separate"))
    }
    rivals |= {precision: clocked(stemd.separate) for precision, stemd in ours.items()}
    in_turns(rivals, 1)  # each for the first time
    seconds = in_turns(rivals, rounds)
    official.ask("save", folder=str(folder))
    theirs = np.stack([np.load(folder / f"{stem}.npy").T for stem in networks.stems])
    rows = [
        (
            precision,
            *ratios(seconds[precision], seconds["official"], ("wall", "cpu")),
            agreement(stemd.stems, theirs),
        )
        for precision, stemd in ours.items()
    ]
    return markdown_table(("stemd", "time", "processor time", "agreement of the stems"), rows)


def load(networks: ModelSet, spec: GraphSpec) -> dict[str, Network]:
    """Load every stem's network."""
    return {stem: Network(path) for stem, path in networks.graphs(spec).items()}


def whole(T: int, precision: str) -> GraphSpec:
    """Give the spec that emits the whole window."""
    return GraphSpec(T=T, B=T, precision=precision)  # type: ignore[arg-type] # one of PRECISIONS


def agreement(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> str:
    """Tell the level of each stem over that of its difference [shape=(stems, …)]."""
    assert ours.shape == theirs.shape
    power, difference = (
        np.square(each, dtype=np.float64).reshape(len(each), -1).sum(axis=1)
        for each in (theirs, ours - theirs)
    )
    return ", ".join(f"{db:.0f} dB" for db in 10 * np.log10(power / difference))


def commands(python: Path, checkpoint: Path, song: Path, folder: Path, rounds: int) -> str:
    """Run the whole commands, from a file to files."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    theirs = partial(
        cost_of,
        [python, "-m", "spleeter", "separate", "-p", "spleeter:2stems", "-o", "official", song],
        {
            **environment,
            "PYTHONPATH": str(python.parents[1] / "deezer"),
            "MODEL_PATH": str(lay_out_models(checkpoint, folder / "models")),
        },
        folder,
    )
    ours = {
        precision: partial(
            cost_of,
            [STEMD, "separate", song, *OPTIONS, "--precision", precision, "-o", precision],
            {**environment, "XDG_CACHE_HOME": str(folder / "cache")},
            folder,
        )
        for precision in PRECISIONS
    }
    first = in_turns(ours, 1)
    theirs()
    costs = in_turns({"official": theirs, **ours}, rounds)
    official = costs["official"]
    stems = read_stems(folder / "official" / song.stem)
    rows: list[tuple[object, ...]] = []
    for precision in PRECISIONS:
        agreed = agreement(read_stems(folder / precision), stems)
        rows += [
            (precision, *ratios(costs[precision], official, COST), agreed),
            (
                f"{precision}, for the first time",
                *ratios(first[precision] * rounds, official, COST),
                "",
            ),
        ]
    return markdown_table(
        ("stemd", "time", "processor time", "memory", "agreement of the stems"), rows
    )


def lay_out_models(checkpoint: Path, folder: Path) -> Path:
    """Put the checkpoint where the official program looks for what it has downloaded."""
    target = folder / "2stems"
    target.mkdir(parents=True)
    for path in checkpoint.iterdir():
        (target / path.name).symlink_to(path)
    (target / ".probe").write_text("OK")
    return folder


def ratios(ours: Sequence[object], theirs: Sequence[object], fields: Iterable[str]) -> list[Ratio]:
    """Give the ratio of each field of what was measured."""
    return [
        ratio([getattr(each, field) for each in ours], [getattr(each, field) for each in theirs])
        for field in fields
    ]


def read_stems(folder: Path) -> NDArray[np.float32]:
    """Read both stems' files [shape=(stems, frames, CHANNELS)]."""
    stems = ("vocals", "accompaniment")
    return np.stack([soundfile.read(folder / f"{stem}.wav", dtype="float32")[0] for stem in stems])


def graphs(official: Official, networks: ModelSet, folder: Path, rounds: int) -> str:
    """Run the stock converter's graph of one stem and stemd's, one thread."""
    head = ("stemd", "stock fp32 over it", "stock int8 over it", "stemd's plain graph over it")
    rows: list[tuple[object, ...]] = []
    for name, T, B, A in (
        ("T=128 whole", 128, 128, 0),
        ("T=64 B=8 A=8", 64, 8, 8),
    ):
        files = stock_and_plain(official, networks, T, folder)
        for precision in PRECISIONS:
            spec = GraphSpec(T=T, B=B, A=A, precision=precision)  # type: ignore[arg-type]
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
    official: Official,
    networks: ModelSet,
    T: int,
    folder: Path,
) -> dict[str, Path]:
    """Write the graphs that stemd's are compared with; they emit the whole window."""
    files = {name: folder / f"{name} {T}.tflite" for name in STOCK}
    for name in STOCK[:2]:
        official.ask("convert", T=T, optimize=name == "stock int8", path=str(files[name]))
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
        rivals[name] = clocked(partial(network, magnitudes, out))
    in_turns(rivals, 2)
    return in_turns(rivals, rounds)


def machine_line(about: Mapping[str, str]) -> str:
    """Name what the figures depend on."""
    runtime = runtime_name().replace("_", "-")
    return (
        f"Measured on {cpu_name()}, {os.cpu_count()} cores; stemd {version('stemd')} with "
        f"Python {python_version()}, NumPy {version('numpy')}, {runtime} {version(runtime)}; "
        f"the official program with Python {about['python']}, TensorFlow {about['tensorflow']}."
    )


def cpu_name() -> str:
    """Give the processor's name, where the kernel tells one."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(names, 'a processor without a name')} ({machine()})"


def main() -> None:
    """Measure, and write the document."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds; prints only")
    quick: bool = parser.parse_args().quick
    python = oracle_python()
    with TemporaryDirectory() as scratch:
        text = measure(python, Path(scratch), quick)
    print(text)
    if not quick:
        replace_section(DOCUMENT, "speed", text)


def oracle_python() -> Path:
    """Find what `make speed` has set up, or say what is missing."""
    if not (python := os.environ.get("STEMD_ORACLE_PYTHON")):
        sys.exit("STEMD_ORACLE_PYTHON is not set: run this by `make speed`")
    if not which("ffmpeg"):
        sys.exit("ffmpeg is missing, by which the official program reads files: install ffmpeg")
    return Path(python)


def write_minute(path: Path) -> None:
    """Write the song that comes along, over and over until the minute is full."""
    waveform, samplerate = soundfile.read(SONG, dtype="float32")
    assert samplerate == SAMPLERATE
    soundfile.write(path, np.resize(waveform, (SECONDS * SAMPLERATE, CHANNELS)), samplerate)


def measure(python: Path, folder: Path, quick: bool) -> str:
    """Measure everything in a scratch folder; give the text."""
    song = folder / "song.wav"
    write_minute(song)
    with Official(python) as official:
        about = official.ask("about")
        checkpoint = Path(about["checkpoint"])
        library = Library(folder / "data", folder / "cache")
        networks = Installer(library).install("2stems", checkpoint)
        print("a loaded song …", file=sys.stderr)
        loaded = warm(official, networks, song, folder, 3 if quick else 15)
    print("one graph …", file=sys.stderr)
    with Official(python) as official:
        single = graphs(official, networks, folder, 7 if quick else 40)
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
