"""The Debian package for 64-bit ARM: installed, used and purged on an emulated board."""

import re

import numpy as np
import pytest
import soundfile

from debian_desktop import RELEASES
from emulation import CHECKOUT, Arm

pytestmark = [pytest.mark.arm64, pytest.mark.timeout(1800)]

APT = "env DEBIAN_FRONTEND=noninteractive apt-get -q -y"

OTHERS = re.compile(
    r"/(etc/(ld\.so\.cache|cpuinfo)|opt|root|srv|tmp|var/(lib/(apt|dpkg)|cache|log))\b"
)
"""Paths that every package changes, or tests."""


@pytest.fixture
def package(machine: Arm) -> str:
    """Its path in there."""
    release = RELEASES[machine.suite]
    found = [*(CHECKOUT / "dist").glob(f"stemd_*~deb{release}_arm64.deb")]
    if not found:
        pytest.skip(f"make deb DEBS={release}-arm64 makes one")
    machine.put(found[0], "/srv")
    yield f"/srv/{found[0].name}"
    machine.run("rm", f"/srv/{found[0].name}")


def files(machine: Arm) -> set[str]:
    found = machine.run("find", "/", "-xdev").stdout.splitlines()
    return {path for path in found if not OTHERS.match(path)}


def test_it_is_installed_used_and_purged_and_nothing_is_left(machine, package):
    before = files(machine)
    machine.run("sh", "-ec", f"{APT} install {package}", network=False)
    soundfile.write(
        machine.root / "tmp/song.wav", np.zeros((44_100, 2)), 44_100
    )  # no MP3: no ffmpeg
    machine.run("stemd", "separate", "/tmp/song.wav", "--preset", "balanced", "-o", "/tmp/stems")
    stems = machine.run("ls", "/tmp/stems").stdout.split()
    assert stems == ["accompaniment.wav", "vocals.wav"]
    machine.run("sh", "-ec", f"{APT} purge stemd; rm -r /tmp/stems")
    assert files(machine) - before == set()
