"""Whether networks can be taught to do with less: a table for each lesson.

    make teach ARGS=LESSON    # live | live-by-stems | balanced-by-stems | int8

Each teaches the two-stem networks (`distil`), then has teacher and student separate the benchmarks'
mixes, and the demo's song, which is really sung: a student that forgets what singing is becomes
less like its teacher there. Taught and measured as usual, the table goes into
docs/research/teaching.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import DOCS, markdown_table, replace_section
from research.material.mixes import RECIPES, build_mixes
from research.quality.measures import sdr_db
from research.quality.pool import Graphs, on_every_mix
from research.quality.variants import score_scheme
from research.training.__main__ import default_folder, positive, read_tracks, run_name, say
from research.training.distil import LESSONS, SETTINGS, SHORTEST, distil
from research.training.errors import tell
from research.training.evaluate import Way, separate
from research.training.learner import Learner
from research.training.mixing import USUAL
from research.training.network import unet_of
from research.training.recordings import record_all
from research.training.start import DEEZERS, bundled, read_all
from research.training.tracks import OWN
from stemd.daemon.cli.recording import SONG, read_song
from stemd.daemon.presets import SHORTEST_WINDOWS
from stemd.dsp.arrays import Waveform
from stemd.dsp.scheme import OFFLINE, Scheme
from stemd.tflite_models.spleeter.streaming import compile_graph
from stemd.tflite_models.spleeter.unet import UNet

TAUGHT = replace(USUAL, recorded=0.2, sung=0.9, balance=1)
"""Recorded music, where no stems are needed, is hardly sung here: with more of it than voices,
students became deaf to them. What is of one song keeps its balance, as recorded music does."""
_BY_STEMS = [
    Way(scheme) for scheme in (*SHORTEST_WINDOWS["live"][1:], *SHORTEST_WINDOWS["balanced"])
]
WAYS: dict[str, list[Way]] = {
    "live": [
        Way(scheme)
        for scheme in (SHORTEST, *SHORTEST_WINDOWS["live"], *SHORTEST_WINDOWS["balanced"])
    ],
    "live-by-stems": _BY_STEMS,
    "balanced-by-stems": _BY_STEMS,
    "int8": [
        Way(scheme, precision)
        for scheme in (*SHORTEST_WINDOWS["balanced"], *SHORTEST_WINDOWS["seed"])
        for precision in ("fp32", "int8")
    ],
}
"""How teacher and student are compared."""


Networks: TypeAlias = Mapping[str, UNet]
"""By stem."""


def taught(learner: Learner) -> Networks:
    """Return the student's networks, by stem."""
    return {
        stem: unet_of(stem, learner.activations, weights)
        for stem, weights in learner.average.items()
    }


@dataclass(frozen=True)
class Comparison:
    """What teacher and student make of the same, one way.

    Attributes
    ----------
    mixes : float64 [shape=(2, mixes)]
        SDR of the vocals of each mix, the teacher's first.
    song : (float, float)
        SDR of the vocals in the demo's song against those that the teacher hears in all of it.
    """

    mixes: NDArray[np.float64]
    song: tuple[float, float]


def compare(
    teacher: Networks, student: Networks, ways: Sequence[Way], songs: int
) -> list[Comparison]:
    """Separate the first mixes and the demo's song by both in each way."""
    build_mixes(songs)
    song = np.ascontiguousarray(read_song(SONG))
    with TemporaryDirectory() as name:
        folder = Path(name)
        whole = _vocals(song, _compiled(teacher, Way(), folder / "whole"), OFFLINE)
        jobs: list[tuple[Scheme, Graphs]] = [
            (way.scheme, _compiled(networks, way, folder / f"{n}-{m}"))
            for n, way in enumerate(ways)
            for m, networks in enumerate((teacher, student))
        ]
        scores = on_every_mix(score_scheme, jobs, RECIPES[:songs], len(jobs))
        mixes = np.array(scores, np.float64)
        likeness = [_likeness(whole, _vocals(song, graphs, scheme)) for scheme, graphs in jobs]
    return [
        Comparison(mixes[n : n + 2], (likeness[n], likeness[n + 1])) for n in range(0, len(jobs), 2)
    ]


def _compiled(networks: Networks, way: Way, folder: Path) -> Graphs:
    folder.mkdir()
    graphs = {stem: folder / f"{stem}.tflite" for stem in networks}
    for stem, path in graphs.items():
        path.write_bytes(compile_graph(networks[stem], way.spec, {}))
    return graphs


def _vocals(song: Waveform, graphs: Graphs, scheme: Scheme) -> Waveform:
    stems = separate(song, list(graphs.values()), scheme)
    vocals: Waveform = stems[list(graphs).index("vocals")]
    return vocals


def _likeness(truth: Waveform, estimate: Waveform) -> float:
    frames = min(truth.shape[1], estimate.shape[1])
    return sdr_db(truth[:, :frames], estimate[:, :frames])


def table(ways: Sequence[Way], comparisons: Sequence[Comparison]) -> str:
    """Return the table of what the student gains over the teacher."""
    rows = []
    for way, compared in zip(ways, comparisons, strict=True):
        teacher, student = compared.mixes
        gain = student - teacher
        s = way.scheme
        rows.append(
            [
                f"{s.T}, {s.B}, {s.A}, {s.mirror}",
                way.precision,
                *(f"{each.mean():.2f}" for each in (teacher, student)),
                *(f"{value:+.2f}" for value in (gain.mean(), gain.min(), gain.max())),
                *(f"{value:.1f}" for value in compared.song),
            ]
        )
    gains = ("as it is", "taught", "gain", "worst mix", "best mix")
    head = ["T, B, A, mirror", "precision", *gains, "song, as it is", "song, taught"]
    return markdown_table(head, rows)


def main() -> None:
    """Teach, measure, print, and write if every mix was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("lesson", choices=LESSONS)
    parser.add_argument("--folder", type=Path, default=default_folder())
    parser.add_argument("--steps", type=positive, default=SETTINGS.steps)
    parser.add_argument(
        "--run", type=run_name, metavar="NAME", help="below the folder's runs (default: LESSON)"
    )
    parser.add_argument(
        "--songs",
        type=int,
        choices=range(1, len(RECIPES) + 1),
        default=len(RECIPES),
        metavar="N",
        help="measure the first N only",
    )
    chosen = parser.parse_args()
    folder: Path = chosen.folder
    settings = replace(SETTINGS, steps=chosen.steps)
    lesson, ways = LESSONS[chosen.lesson], WAYS[chosen.lesson]
    heard = [track for track in read_tracks(folder) if track.split != "test"]
    if not lesson.by_stems:
        heard += record_all(folder)
    teacher = read_all(bundled(DEEZERS))
    run = folder / "runs" / (chosen.run or chosen.lesson)
    student = taught(distil(folder, run, heard, settings, teacher, lesson, TAUGHT, say=say))
    text = table(ways, compare(teacher, student, ways, chosen.songs))
    text = f"{settings.steps} steps at a rate of {settings.rate:g}, seed {settings.seed}:\n\n{text}"
    say(text)
    as_usual = settings == SETTINGS and chosen.songs == len(RECIPES) and not chosen.run
    if as_usual and not any(track.player == OWN for track in heard):
        replace_section(DOCS / "research" / "teaching.md", chosen.lesson, text)


if __name__ == "__main__":
    tell("experiments", main)
