"""A desktop of each Debian, and the package for it."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from booting import CHECKOUT
from debian_desktop import RELEASES, Desktop


@pytest.fixture(scope="session", params=[wish] if (wish := os.environ.get("SUITE")) else RELEASES)
def suite(request) -> str:
    """Each Debian; SUITE chooses one."""
    return request.param


@pytest.fixture(scope="session")
def package(suite) -> Path:
    """The package, which `make deb` made."""
    release = RELEASES[suite]
    found = [*(CHECKOUT / "dist").glob(f"stemd_*~deb{release}_amd64.deb")]
    assert len(found) == 1, f"make deb DEBS={release}-amd64 makes one (got {found})"
    return found[0]


@pytest.fixture(scope="session")
def newer(package, tmp_path_factory) -> Path:
    """The same package with a higher version."""
    folder = tmp_path_factory.mktemp("newer")
    subprocess.run(["dpkg-deb", "--raw-extract", package, folder / "root"], check=True)
    control = folder / "root" / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^(Version: .*)-1~", r"\1-2~", control.read_text()))
    made = folder / "stemd.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", folder / "root", made]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return made


@pytest.fixture
def desktop(suite, tmp_path, package) -> Desktop:
    """One that has the package in a folder, and nothing of stemd's otherwise."""
    made = Desktop(suite, tmp_path / "desktop")
    made.put(package, "srv/stemd.deb")
    return made
