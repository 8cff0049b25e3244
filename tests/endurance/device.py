"""Kill stemd and all that a sound device needs, again and again, while a player plays.

`make device` runs it, on a desktop of its own. Each time it must be heard again within `HEARD_S`,
through stemd or past it, and never louder than twice the song, as feedback would be.
"""

import sys
from argparse import ArgumentParser
from collections import defaultdict
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic, sleep

from benchmarks.report import markdown_table
from device_stage import VICTIMS, device_stage, hear_again
from peer_programs import LEFT_PEAK

HEARD_S = 2.0

LOUDEST = 2.5 * LEFT_PEAK

BETWEEN_S = 1.0
"""Seconds until the next kill, at least."""


def main() -> int:
    """Kill; 1 if it was not heard again in time, or too loud."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--only", choices=VICTIMS, action="append")
    parser.add_argument("--mode", choices=("output", "all"), default="all")
    parser.add_argument("--seed", type=int, default=0)
    wishes = parser.parse_args()
    random, silences = Random(wishes.seed), defaultdict[str, list[float]](list)
    victims = (wishes.only or list(VICTIMS)) * wishes.times
    random.shuffle(victims)
    with (
        TemporaryDirectory() as folder,
        device_stage(Path(folder), wishes.mode, "--preset", "balanced") as stage,
    ):
        stage.play_through()
        began = monotonic()
        for victim in victims:
            silence = hear_again(stage, victim)
            silences[victim].append(silence)
            print(f"{victim}: silent for {silence:.2f} s", flush=True)
            sleep(random.uniform(BETWEEN_S, 2 * BETWEEN_S))
        loudest = stage.ear.loudest(began)
    rows = [
        (victim, len(times), f"{median(times):.2f} s", f"{max(times):.2f} s")
        for victim, times in silences.items()
    ]
    print(markdown_table(("killed", "times", "silent for", "at most"), rows))
    print(f"the highest peak: {loudest:.2f}, of the song {LEFT_PEAK}")
    return int(max(map(max, silences.values())) > HEARD_S or loudest > LOUDEST)


if __name__ == "__main__":
    sys.exit(main())
