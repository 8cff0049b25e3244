"""Spleeter, as `speed` has it work: in the environment of `make oracle`."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from shutil import which
from typing import Any

from benchmarks.cost import Cost, cost_of


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
        """Make a request, and return the answer."""
        assert self._process.stdin and self._process.stdout
        print(json.dumps({"do": do, **arguments}), file=self._process.stdin, flush=True)
        if answer := self._process.stdout.readline():
            return json.loads(answer)
        sys.exit(f"the official side ended at `{do}`; try it alone: {self._process.args!r}")


def command(
    python: Path, checkpoint: Path, song: Path, folder: Path, environment: Mapping[str, str]
) -> Callable[[], Cost]:
    """Return what runs the command of Deezer's own package, which writes to ``folder/official``."""
    own = {
        "PYTHONPATH": str(python.parents[1] / "deezer"),
        "MODEL_PATH": str(lay_out_models(checkpoint, folder / "models")),
    }
    return partial(
        cost_of,
        [python, "-m", "spleeter", "separate", "-p", "spleeter:2stems", "-o", "official", song],
        {**environment, **own},
        folder,
    )


def lay_out_models(checkpoint: Path, folder: Path) -> Path:
    """Put the checkpoint where Spleeter looks for what it has downloaded."""
    target = folder / "2stems"
    target.mkdir(parents=True)
    for path in checkpoint.iterdir():
        (target / path.name).symlink_to(path)
    (target / ".probe").write_text("OK")
    return folder


def oracle_python() -> Path:
    """Find what `make speed` has set up, or say what is missing."""
    if not (python := os.environ.get("STEMD_ORACLE_PYTHON")):
        sys.exit("STEMD_ORACLE_PYTHON is not set: run this by `make speed`")
    if not which("ffmpeg"):
        sys.exit("ffmpeg is missing, by which Spleeter reads files: install ffmpeg")
    return Path(python)
