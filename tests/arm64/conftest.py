"""An ARM machine with stemd installed from wheels."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emulation import CHECKOUT, PORTABLE, Arm


@pytest.fixture(scope="session")
def wheels() -> Path:
    """The folder of wheels for it, which `make offline` fills."""
    (found,) = (CHECKOUT / "dist").glob("offline-*")
    return found


@pytest.fixture(scope="session")
def machine() -> Arm:
    """With nothing of stemd's."""
    made = Arm()
    made.run("rm", "-rf", PORTABLE, "/root/.cache/stemd")
    return made


@pytest.fixture(scope="session")
def arm(machine, wheels) -> Arm:
    """With stemd installed out of the folder, as a user does who has no network."""
    machine.put(wheels, PORTABLE)
    machine.run("python3", "-m", "venv", f"{PORTABLE}/venv")
    machine.run(
        *(f"{PORTABLE}/venv/bin/pip", "install", "--quiet", "--no-index"),
        *("--find-links", f"{PORTABLE}/{wheels.name}", "stemd"),
        network=False,
    )
    return machine


@pytest.fixture(scope="session")
def forerunner(arm, wheels) -> str:
    """tflite-runtime and NumPy 1 beside it, in an environment of their own; gives its programs."""
    programs = f"{PORTABLE}/forerunner/bin"
    arm.put(CHECKOUT / "tests/tflite_models/requirements-forerunner.txt", PORTABLE)
    arm.run("python3", "-m", "venv", f"{PORTABLE}/forerunner")
    arm.run(
        *(f"{programs}/pip", "install", "--quiet", "tflite-runtime"),
        *("-r", f"{PORTABLE}/requirements-forerunner.txt"),
    )
    (wheel,) = wheels.glob("stemd-*.whl")
    there = f"{PORTABLE}/{wheels.name}/{wheel.name}"
    arm.run(f"{programs}/pip", "install", "--quiet", "--no-deps", there)
    return programs


@pytest.fixture(scope="session")
def here(tmp_path_factory) -> Path:
    """The same on this machine; gives the folder of its programs."""
    (own,) = (CHECKOUT / "dist").glob(f"stemd-*{os.uname().machine}.whl")
    venv = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([venv / "bin" / "pip", "install", "--quiet", own], check=True)
    return venv / "bin"
