"""From the full networks to lighter ones: material, teaching, the set with its figures.

    make light ARGS="[material | teach | measure] [OPTIONS]"

Without a name the first two, each going on where it was interrupted. `measure` compares what was
learnt so far with the full networks, on the recorded songs that decide, and adds a line to the
run's `decide.jsonl`; it may do so while the run goes on.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from research.training import checkpoints, light, light_curve, singers
from research.training.__main__ import default_folder, not_negative, positive, rate, run_name, say
from research.training.errors import tell
from research.training.free_music import gather
from research.training.learner import CHECKPOINT
from research.training.network import unet_of
from research.training.start import DEEZERS, bundled, read_all
from research.training.tracks import read_list, write_list

PARTS = ("material", "teach", "measure")
LIST = "free.json"
"""Of the material, in its folder."""
CURVE = "decide.jsonl"
"""In the run's folder."""
NTH_VOICE = 4
"""Of the voices made by machine so many are heard: one in …; real singers are to be heard more."""


def main() -> None:
    """Do what the command line says."""
    chosen = _arguments()
    parts = [chosen.part] if chosen.part else PARTS[:2]
    folder: Path = chosen.folder
    folder.mkdir(parents=True, exist_ok=True)
    if "material" in parts:
        voices = singers.perform_all(folder)[::NTH_VOICE]
        write_list(folder / LIST, [*gather(folder), *voices])
    if "teach" in parts:
        networks = read_all(bundled(DEEZERS))
        settings = replace(light.SETTINGS, steps=chosen.steps, rate=chosen.rate, seed=chosen.seed)
        light.teach(folder, chosen.run, read_list(folder / LIST), networks, settings, say=say)
    if "measure" in parts:
        say(measure(folder, folder / "runs" / chosen.run))


def measure(folder: Path, run: Path) -> str:
    """Compare a run with the full networks, and note it with the step."""
    networks, kept = read_all(bundled(DEEZERS)), folder / "figures"
    state = checkpoints.load(run / CHECKPOINT)
    student = {
        stem: unet_of(stem, networks[stem].activations, weights)
        for stem, weights in state["average"].items()
    }
    found = light_curve.gaps(*(light_curve.scores_of(each, kept) for each in (networks, student)))
    line = json.dumps({"step": state["step"], **found})
    with (run / CURVE).open("a") as file:
        file.write(f"{line}\n")
    return line


def _arguments() -> argparse.Namespace:
    lines = (__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(prog="light", description=lines[0])
    parser.add_argument("part", nargs="?", choices=PARTS, help="only this part")
    parser.add_argument(
        "--folder",
        type=Path,
        default=default_folder().with_name("light"),
        help="of material and runs, 6 GB (default: %(default)s)",
    )
    parser.add_argument(
        "--run",
        type=run_name,
        default="2stems-light",
        metavar="NAME",
        help="below the folder's runs (default: %(default)s)",
    )
    defaults = light.SETTINGS
    parser.add_argument("--seed", type=not_negative, default=defaults.seed, help="of what is heard")
    parser.add_argument(
        "--steps",
        type=positive,
        default=defaults.steps,
        help="in all; a run that has taken some goes on with more (default: %(default)s)",
    )
    parser.add_argument(
        "--rate", type=rate, default=defaults.rate, help="of learning (default: %(default)s)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    tell("light", main)
