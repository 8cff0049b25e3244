"""Which packages `make run` installs: what the server that runs takes."""

import os
import pty
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ("bash", "sh", "id", "ls", "grep", "printf", "sort", "tr", "cc", "make")


@pytest.fixture
def packages(tmp_path):
    """A function that names what is missing on a machine with these programs and libraries."""

    def missing(*programs, libraries=(), pipewire_runs=False, made="RUN", ffmpeg=("ffmpeg",)):
        path, runtime = tmp_path / "bin", tmp_path / "runtime"
        path.mkdir()
        runtime.mkdir()
        for tool in TOOLS:
            (path / tool).symlink_to(shutil.which(tool))
        for program in (*programs, *ffmpeg):
            (path / program).symlink_to("/bin/true")
        found = {kind: tmp_path / kind for kind in ("LIBJACK", "PIPEWIRE_LIBJACK")}
        for kind in libraries:
            found[kind].touch()
        with socket.socket(socket.AF_UNIX) as server:
            if pipewire_runs:
                server.bind(str(runtime / "pipewire-0"))
            variables = {"PYTHON": sys.executable, **found}
            asked = f"asked: ; $(call find-missing,$(FOR_{made})); echo $$missing"
            ended = subprocess.run(
                [
                    *("make", *(["packages"] if made == "RUN" else ["--eval", asked, "asked"])),
                    *(f"{name}={value}" for name, value in variables.items()),
                ],
                cwd=ROOT,
                env={"PATH": str(path), "XDG_RUNTIME_DIR": str(runtime)},
                capture_output=True,
                text=True,
                check=True,
            )
        assert ended.stderr == ""
        return set(ended.stdout.split())

    return missing


def test_a_machine_with_neither_gets_jackd(packages):
    assert packages() == {"jackd2", "libjack-jackd2-0"}


def test_a_machine_without_ffmpeg_gets_it(packages):
    assert packages("jackd", libraries=["LIBJACK"], ffmpeg=()) == {"ffmpeg"}


def test_a_machine_with_jackd_needs_its_library_alone(packages):
    assert packages("jackd") == {"libjack-jackd2-0"}


def test_a_machine_with_all_of_jack_needs_nothing(packages):
    assert packages("jackd", libraries=["LIBJACK"]) == set()


def test_a_desktop_with_pipewire_gets_its_library(packages):
    assert packages("pipewire", pipewire_runs=True) == {"pipewire-jack"}


def test_jacks_library_is_no_use_to_a_pipewire_that_runs(packages):
    """mpv and ffmpeg bring it."""
    assert packages("pipewire", libraries=["LIBJACK"], pipewire_runs=True) == {"pipewire-jack"}


def test_a_pipewire_that_does_not_run_yet_is_the_server_where_there_is_no_other(packages):
    assert packages("pipewire") == {"pipewire-jack"}


def test_a_pipewire_that_runs_beside_jackd_needs_its_library(packages):
    assert packages("pipewire", "jackd", libraries=["LIBJACK"], pipewire_runs=True) == {
        "pipewire-jack"
    }


def test_where_jackd_is_and_pipewire_does_not_run_it_is_jack(packages):
    assert packages("pipewire", "jackd", libraries=["LIBJACK"]) == set()


def test_a_desktop_with_all_of_pipewire_needs_nothing(packages):
    assert packages("pipewire", libraries=["PIPEWIRE_LIBJACK"], pipewire_runs=True) == set()


@pytest.mark.parametrize("made", ["DEMO", "TEST", "SOAK"])
def test_what_starts_a_jackd_of_its_own_needs_it_beside_a_pipewire_that_runs(packages, made):
    found = packages("pipewire", libraries=["PIPEWIRE_LIBJACK"], pipewire_runs=True, made=made)
    assert {"jackd2", "libjack-jackd2-0"} <= found


@pytest.mark.parametrize(("has_terminal", "is_quiet"), [(True, False), (False, True)])
def test_pip_shows_its_progress_where_there_is_a_terminal(has_terminal, is_quiet, tmp_path):
    """It may take minutes; into a log it would write a line for each of its packages."""
    (tmp_path / "bin").mkdir()
    pip = tmp_path / "bin" / "pip"
    pip.write_text('#!/bin/sh\necho "pip $*"\n')
    pip.chmod(0o755)
    installs = "tried: ; $(call install-stemd,osc$(comma)top)"
    ours, theirs = pty.openpty() if has_terminal else os.pipe()
    subprocess.run(
        ["make", "--eval", installs, "tried", f"VENV={tmp_path}"],
        cwd=ROOT,
        stdout=theirs,
        check=True,
    )
    os.close(theirs)
    said = b""
    with suppress(OSError):  # how a terminal ends
        while chunk := os.read(ours, 10_000):
            said += chunk
    os.close(ours)
    first, second = said.decode().splitlines()
    assert "the first time this takes some minutes" in first
    assert second == f"pip install {'--quiet ' if is_quiet else ''}--editable .[osc,top]"


def test_a_make_within_make_does_not_say_which_folder_it_enters():
    within = "tried: ; $(MAKE) --eval 'y: ; echo within' y"
    ended = subprocess.run(
        ["make", "--eval", within, "tried"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "within\n"


@pytest.mark.parametrize("is_absolute", [False, True])
@pytest.mark.parametrize(
    ("place", "python", "is_made_anew"),
    [
        (None, "/bin/sh", False),
        ("/elsewhere/.venv", "/bin/sh", True),
        (None, "/nonexistent/python3", True),
    ],
    ids=["sound", "the folder was moved", "its Python is gone"],
)
def test_an_environment_that_works_no_more_is_made_anew(
    place, python, is_made_anew, is_absolute, tmp_path
):
    venv = tmp_path if is_absolute else os.path.relpath(tmp_path, ROOT)
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "python"
    script.write_text(f'#!{python}\nexec {sys.executable} "$@"\n')
    script.chmod(0o755)
    (tmp_path / "bin" / "pip").write_text(f"#!{place or tmp_path.resolve()}/bin/python\n")
    (tmp_path / "run").touch()
    ended = subprocess.run(
        ["make", "-n", f"VENV={venv}", f"{venv}/run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ("-m venv" in ended.stdout) == is_made_anew
