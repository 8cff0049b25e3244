"""An ARM machine with stemd installed from its wheel."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emulation import CHECKOUT, PORTABLE, Arm


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The wheel for it, which `make wheels` builds."""
    (found,) = (CHECKOUT / "dist").glob("stemd-*aarch64.whl")
    return found


@pytest.fixture(scope="session")
def arm(wheel):
    """With the wheel installed as a user does, and nothing else."""
    made = Arm()
    made.run("rm", "-rf", PORTABLE)
    made.put(wheel, PORTABLE)
    made.run("python3", "-m", "venv", f"{PORTABLE}/venv")
    made.run(f"{PORTABLE}/venv/bin/pip", "install", "--quiet", f"{PORTABLE}/{wheel.name}")
    return made


@pytest.fixture(scope="session")
def here(wheel, tmp_path_factory) -> Path:
    """The same on this machine; gives the folder of its programs."""
    (own,) = (CHECKOUT / "dist").glob(f"stemd-*{os.uname().machine}.whl")
    venv = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([venv / "bin" / "pip", "install", "--quiet", own], check=True)
    return venv / "bin"
