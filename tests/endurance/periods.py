"""Plays with every period and every preset on a real jackd; `make periods` runs it.

The server has its default priority, and stemd is the program that users start. It ends with 1 if a
block was late, stemd was ever overloaded, or the delay was not the declared one.
"""

import json
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile

import servers
from benchmarks.report import markdown_table
from decks import Player, Recorder
from stemd.daemon.errors import ServerError
from stemd.daemon.graph.jack import open_client
from stemd.daemon.presets import PRESETS
from waiting import wait_until

PERIODS = (16, 32, 64, 128, 256, 512, 1000, 1024, 2048, 4096, 8192)
RATE = 44_100
STEMS = ("vocals", "accompaniment")
STEMD = Path(sys.executable).with_name("stemd")
SONG = Path(__file__).parents[2] / "daemon" / "cli" / "song" / "slow-motion-dream.mp3"


@contextmanager
def daemon(server: servers.Jack, preset: str) -> Iterator[Path]:
    """`stemd run`; yields the path of its socket."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "socket"
        wishes = ["--stems", "2", "--preset", preset, "--set", f"control.socket={path}"]
        process = subprocess.Popen(
            [STEMD, "run", "--server", "jack", "--no-autoconnect", *wishes],
            env=server.environment,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: (status(path) or {}).get("server"))
            yield path
        finally:
            process.terminate()
            process.wait(20)


def status(path: Path) -> dict[str, Any] | None:
    """What `stemd status --json` prints; None before it answers."""
    command = [STEMD, "status", "--json", "--socket", path]
    ended = subprocess.run(command, capture_output=True, text=True)
    return json.loads(ended.stdout) if ended.returncode == 0 else None


def measure(server: servers.Jack, preset: str, song: np.ndarray) -> tuple[object, ...]:
    """Play the song, and return a row of the table; the last field is what is wrong."""
    outputs = [f"stemd:{stem}_{side}" for stem in STEMS for side in "LR"]
    inputs = ["in_L", "in_R", *(name.partition(":")[2] for name in outputs)]
    with daemon(server, preset) as path:
        before = status(path)
        assert before
        declared = before["delay"]["frames"]
        player = Player("jack", servers.JACK_NAME)
        recorder = Recorder("jack", servers.JACK_NAME, inputs)
        with closing(recorder), closing(player):
            sources = [*player.outputs, *outputs]
            pairs = [*zip(sources, recorder.inputs, strict=True)]
            pairs += [*zip(player.outputs, ("stemd:in_L", "stemd:in_R"), strict=True)]
            for pair in pairs:
                assert player.client.graph.connect(pair), pair
            recorder.record(declared + song.shape[1])
            player.music = song
            tape = recorder.recording()
            assert tape is not None, "nothing was heard"
            after = status(path)
            assert after
    played, stems = tape[:2, : song.shape[1]], tape[2:].reshape(len(STEMS), 2, -1).sum(axis=0)
    error = np.abs(stems[:, declared:] - played).max()
    blocks, late_periods = after["blocks"], after["engine"]["late_periods"]
    xruns = after["server"]["xruns"]
    wrong = [
        *(["late blocks"] if blocks["late"] else []),
        *([after["state"]] if after["state"] != "playing" else []),
        # Where the server skips cycles, player and recorder lose frames.
        *(["late periods"] if late_periods and not xruns else []),
        *(["another delay, or another sound"] if error > 1e-4 and not xruns else []),
    ]
    late = f"{blocks['late']} of {blocks['total']}"
    is_measured = "yes" if error <= 1e-4 else "no"
    period = after["server"]["period"]
    return period, preset, declared, is_measured, late, late_periods, xruns, ", ".join(wrong)


def main() -> None:
    """Measure each, and print a table."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--periods", type=int, nargs="+", default=PERIODS)
    parser.add_argument("--presets", nargs="+", default=[*PRESETS], choices=[*PRESETS])
    parser.add_argument("--seconds", type=float, default=4, help="of the song")
    wishes = parser.parse_args()
    song = soundfile.read(SONG, int(wishes.seconds * RATE), 2 * RATE, dtype="float32")[0].T / 2
    rows = []
    for period in wishes.periods:
        with closing(servers.Jack(RATE, period, priority=None)) as server:
            server.start()
            wait_until(answers)
            for preset in wishes.presets:
                rows.append(measure(server, preset, song))
                print(*rows[-1], flush=True)
    head = (
        "period",
        "preset",
        "delay",
        "measured",
        "late blocks",
        "late periods",
        "xruns",
        "wrong",
    )
    print(markdown_table(head, rows))
    sys.exit(any(row[-1] for row in rows))


def answers() -> bool:
    """Whether the server lets a client in."""
    try:
        open_client("stemd-probe", "jack", servers.JACK_NAME).close()
    except ServerError:
        return False
    return True


if __name__ == "__main__":
    main()
