"""From nothing to networks: `python -m training`, or one step of it by name."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from packages import cache_folder
from training import render, singers
from training.songs import all_songs
from training.tracks import read_list
from training.train import Settings, train
from voices import MaterialError


def main() -> None:
    """Make the material, train."""
    parser = argparse.ArgumentParser(prog="training", description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("material", "train"))
    parser.add_argument("--folder", type=Path, default=cache_folder().parent / "training")
    parser.add_argument("--run", default="4stems", metavar="NAME", help="below the folder's runs")
    parser.add_argument("--steps", type=int, default=Settings.steps)
    parser.add_argument("--rate", type=float, default=Settings.rate)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    chosen = parser.parse_args()
    folder: Path = chosen.folder
    if chosen.command == "material":
        folder.mkdir(parents=True, exist_ok=True)
        render.render_all(all_songs(render.SECONDS), folder)
        singers.perform_all(folder)
    else:
        tracks = read_list(folder / "tracks.json") + read_list(folder / "voices.json")
        settings = Settings(seed=chosen.seed, steps=chosen.steps, rate=chosen.rate)
        train(folder, folder / "runs" / chosen.run, tracks, settings, say=lambda text: print(text, flush=True))


if __name__ == "__main__":
    try:
        main()
    except (MaterialError, OSError) as error:
        sys.exit(f"training: {error}")
