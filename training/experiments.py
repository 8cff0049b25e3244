"""Whether networks can be taught to do with less: a table for each lesson.

    python -m training.experiments live | int8

``live`` and ``int8`` teach the two-stem networks (`distil`), then separate the benchmarks' mixes
by teacher and student; with all of them measured the table goes into docs/models.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from material import RECIPES, build_mixes
from pool import Graphs, on_every_mix
from report import DOCS, markdown_table, replace_section
from stemd.daemon.presets import PRESETS
from stemd.dsp.scheme import Scheme
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.streaming import compile_graph
from stemd.tflite_models.unet import UNet
from training.__main__ import default_folder, read_tracks, say
from training.distil import LESSONS, SETTINGS, distil
from training.evaluate import Way
from training.learner import Learner, Settings
from training.network import unet_of
from training.recordings import record_all
from training.train import deezers
from variants import score_scheme
from voices import MaterialError

WAYS: dict[str, list[Way]] = {
    "live": [Way(scheme) for scheme in (*PRESETS["live"], *PRESETS["balanced"])],
    "int8": [
        Way(scheme, precision)
        for scheme in (*PRESETS["balanced"], *PRESETS["seed"])
        for precision in ("fp32", "int8")
    ],
}
"""How teacher and student are compared."""


def taught(learner: Learner) -> dict[str, UNet]:
    """Give the student's networks, by stem."""
    return {
        stem: unet_of(stem, learner.activations, weights)
        for stem, weights in learner.average.items()
    }


def compare(
    sets: Sequence[dict[str, UNet]], ways: Sequence[Way], songs: int
) -> list[list[list[float]]]:
    """Give the vocals' SDR for each way, set and mix."""
    build_mixes(songs)
    with TemporaryDirectory() as name:
        jobs: list[tuple[Scheme, Graphs]] = []
        for way in ways:
            for networks in sets:
                graphs = {}
                for stem, unet in networks.items():
                    graphs[stem] = Path(name) / f"{len(jobs)}-{stem}.tflite"
                    graphs[stem].write_bytes(compile_graph(unet, way.spec, {}))
                jobs.append((way.scheme, graphs))
        scores = on_every_mix(score_scheme, jobs, RECIPES[:songs], len(jobs))
    return [scores[n : n + len(sets)] for n in range(0, len(scores), len(sets))]


def table(ways: Sequence[Way], scores: Sequence[Sequence[Sequence[float]]]) -> str:
    """Tell what the student gains over the teacher."""
    rows = []
    for way, (teacher, student) in zip(ways, scores, strict=True):
        gain = np.subtract(student, teacher)
        s = way.scheme
        rows.append(
            [
                f"{s.T}, {s.B}, {s.A}, {s.mirror}",
                way.precision,
                *(f"{np.mean(each):.2f}" for each in (teacher, student)),
                *(f"{value:+.2f}" for value in (gain.mean(), gain.min(), gain.max())),
            ]
        )
    head = ["T, B, A, mirror", "precision", "as it is", "taught", "gain", "worst mix", "best mix"]
    return markdown_table(head, rows)


def main() -> None:
    """Teach, measure, print, and write if every mix was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("lesson", choices=LESSONS)
    parser.add_argument("--folder", type=Path, default=default_folder())
    parser.add_argument("--steps", type=int, default=SETTINGS.steps)
    parser.add_argument("--rate", type=float, default=SETTINGS.rate, help="of learning")
    parser.add_argument("--songs", type=int, default=len(RECIPES), metavar="N", help="first N only")
    chosen = parser.parse_args()
    folder: Path = chosen.folder
    settings = Settings(steps=chosen.steps, rate=chosen.rate, windows=SETTINGS.windows)
    heard = [track for track in read_tracks(folder) if track.split == "train"]
    # As many recordings as voices, and many more parts of songs.
    heard += record_all(folder)
    teacher = deezers()
    run = folder / "runs" / chosen.lesson
    student = taught(distil(folder, run, heard, settings, teacher, LESSONS[chosen.lesson], say=say))
    ways = WAYS[chosen.lesson]
    text = table(ways, compare([teacher, student], ways, chosen.songs))
    say(text)
    if chosen.songs == len(RECIPES):
        replace_section(DOCS / "models.md", chosen.lesson, text)


if __name__ == "__main__":
    try:
        main()
    except (MaterialError, ModelError, OSError) as error:
        sys.exit(f"experiments: {error}")
