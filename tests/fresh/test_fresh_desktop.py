"""From a fresh desktop to sound: Debian with PipeWire, no JACK, no compiler, an ordinary user."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.fresh, pytest.mark.timeout(900)]

LOG = r"""
installing system packages: .*
making a virtual environment in \.venv
installing stemd and the Python packages it needs into \.venv; the first time .*
two stems, because Deezer's four-stem networks are not installed; for four: .*
windows of \d+ spectra, .*
networks: 2stems \(bundled\)
client stemd on JACK .*\(using PipeWire .*\), 48000 Hz, \d+ frames a period
separating into vocals, accompaniment with a delay of \d+ frames \(0\.\d+ s\)
""".strip()


def userland(verb: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    script = str(ROOT / "tests" / "userland.sh")
    return subprocess.run(
        [
            "env",
            *(f"{name}={value}" for name, value in environment.items()),
            script,
            verb,
            *arguments,
        ],
        capture_output=True,
        text=True,
    )


def test_make_run_alone_ends_in_a_stemd_that_plays_in_pipewire():
    made = userland("make", "desktop")
    assert made.returncode == 0, made.stdout + made.stderr
    ran = userland("run", "desktop", "stemd/tests/fresh/fresh.sh", AS="musician", PUT=str(ROOT))
    print(ran.stdout, ran.stderr)
    assert ran.returncode == 0
    log, _, figures = ran.stdout.partition("seconds: ")
    assert re.fullmatch(LOG + r"(\nnot granted: .*)?", log.strip())
    assert "pipewire-jack" in log and "jackd" not in log
    assert float(re.search(r"peak: ([\d.]+)", figures)[1]) == pytest.approx(0.3, abs=0.05)
    assert "playing" in figures
