"""stemd from its wheel on 64-bit ARM: what it pulls, what it computes, and how it plays."""

import json
import os
import signal
import subprocess
from collections.abc import Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emulation import CHECKOUT, HERE, PORTABLE
from stemd.daemon.control.client import ControlClient
from stemd.daemon.errors import StemdError
from waiting import wait_until

pytestmark = [pytest.mark.arm64, pytest.mark.timeout(1800)]

PROGRAMS = f"{PORTABLE}/venv/bin"

RUNTIME_TESTS = ("tflite_models/test_network.py", "tflite_models/test_runtime_contract.py")

PORTABLE_TESTS = (
    # What a processor could do otherwise, and that is quick even if emulated.
    *RUNTIME_TESTS,
    *("dsp/test_masks.py", "dsp/test_stft.py"),
    "daemon/control/test_mixer.py",
    "daemon/engine/test_link.py",
    "daemon/capacity/test_estimate.py",
)

UNWANTED = {"tensorflow", "matplotlib", "torch", "textual", "rich", "hypothesis"}


def test_an_install_pulls_no_compiler_and_nothing_large(arm):
    frozen = arm.run(f"{PROGRAMS}/pip", "freeze").stdout
    assert not {line.partition("=")[0].lower() for line in frozen.splitlines()} & UNWANTED
    for compiler in ("cc", "gcc", "g++", "clang"):
        assert arm.run("sh", "-c", f"command -v {compiler}", check=False).returncode


@pytest.fixture
def suite(arm):
    """Run some of the tests there."""
    for part in ("tests", "pyproject.toml"):
        arm.put(CHECKOUT / part, PORTABLE)

    def run(programs: str, files: Iterable[str]) -> None:
        ended = arm.run(
            *("env", "-C", PORTABLE, f"{programs}/pytest", "-q", "-p", "no:cacheprovider"),
            *("--timeout", "900", *(f"tests/{file}" for file in files)),
            check=False,
        )
        print(ended.stdout.splitlines()[-1])
        assert ended.returncode == 0, ended.stdout

    return run


def test_the_portable_tests_pass(arm, suite):
    arm.run(f"{PROGRAMS}/pip", "install", "--quiet", "pytest", "pytest-timeout", "hypothesis")
    suite(PROGRAMS, PORTABLE_TESTS)


def test_the_other_runtime_does_alike(arm, suite, request):
    if arm.suite != "bookworm":
        pytest.skip("tflite-runtime ends with Python 3.11")
    suite(request.getfixturevalue("forerunner"), RUNTIME_TESTS)


@pytest.mark.parametrize(("precision", "least_db"), [("fp32", 100), ("int8", 40)])
def test_stems_are_those_of_this_machine(arm, here, tmp_path, precision, least_db):
    (own,) = (CHECKOUT / "daemon" / "cli" / "song").glob("*.mp3")
    song = tmp_path / "song.wav"  # which takes no ffmpeg
    soundfile.write(song, *soundfile.read(own), subtype="PCM_16")
    options = ["--precision", precision, "--bits", "float", "-o"]
    subprocess.run([here / "stemd", "separate", song, *options, tmp_path], check=True)
    arm.put(song, PORTABLE)
    folder = f"{PORTABLE}/{precision}"
    arm.run(f"{PROGRAMS}/stemd", "separate", f"{PORTABLE}/{song.name}", *options, folder)
    for stem in ("vocals", "accompaniment"):
        ours, _ = soundfile.read(tmp_path / f"{stem}.wav")
        theirs, _ = soundfile.read(arm.root / folder.lstrip("/") / f"{stem}.wav")
        agreement = 10 * np.log10((ours**2).sum() / ((ours - theirs) ** 2).sum())
        print(f"{precision}, {stem}: {agreement:.1f} dB")
        assert agreement >= least_db


@contextmanager
def jackd(arm):
    """A server with periods so long that an emulated program keeps up, or nearly."""
    with running(arm, "jackd", "--no-realtime", "-d", "dummy", "-r", "44100", "-p", "8192"):
        arm.run("jack_wait", "--wait", "--timeout", "60")
        yield


@contextmanager
def running(arm, *command: object):
    """A command in there while it is needed; gives its process."""
    words = [str(word) for word in command]
    process = subprocess.Popen(
        [HERE / "userland.sh", "run", *words], stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        for pid in guests(arm, words[0]):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def guests(arm, program: str) -> list[int]:
    """Processes in there that run a program."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            inside = (folder / "root").readlink() == arm.root
        except OSError:
            continue
        if folder.name.isdecimal() and inside and program.encode() in words:
            found.append(int(folder.name))
    return found


EMULATORS = 0x7000_0000_0000
"""Where the emulator's own memory begins; it puts that of its guests below."""


def guests_memory_mb(pid: int) -> float:
    """Private memory of what an emulated process has, without the emulator's own."""
    total, is_own = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        first, *rest = line.split()
        if "-" in first:
            path = rest[4] if len(rest) > 4 else ""
            start = int(first.partition("-")[0], 16)
            is_own = start >= EMULATORS or "qemu" in path or path == "[heap]"
        elif first.startswith("Private_") and not is_own:
            total += int(rest[0])
    return total / 1024


IDLE = 0.01
"""A load that is more than that of a network which gets silence, and rests."""


def silence(arm) -> str:
    """A song of a second of it; gives its path in there."""
    song = f"{PORTABLE}/silence.wav"
    soundfile.write(arm.root / song.lstrip("/"), np.zeros((44_100, 2)), 44_100)
    return song


RECOVERING, ATTEMPTS = "recovering", 3
"""On a busy machine an emulated network is taken for one that hangs, and loaded again: then more
memory is in use, or less, than by a daemon that plays; try again."""

MOST_MB = {"bookworm": {"two": 110, "one": 80}, "trixie": {"two": 110, "one": 90}}
"""By Debian and number of networks: its Python is as frugal as the other's, but there are more
pages of libraries, which nobody has written to, and which the kernel may take back."""


@pytest.mark.parametrize("networks", ["two", "one"])
def test_it_plays_under_jackd_in_little_memory(arm, networks):
    place = f"{PORTABLE}/stemd.socket"
    settings = (
        "separation.precision=int8",
        f"separation.residual={networks == 'one'}",
        f"control.socket={place}",
        "jack.autoconnect={in_L: 'clicks:.*', vocals_L: 'system:playback_1'}",
    )
    options = [option for setting in settings for option in ("--set", setting)]
    derive = ("--preset", "balanced", "--precision", "int8", "-o", f"{PORTABLE}/silence")

    def status() -> dict:
        with ControlClient(arm.root / place.lstrip("/")) as client:
            return client.ask("status")

    def has_begun() -> bool:
        try:
            reply = status()
        except StemdError:
            return False
        return reply["state"] == RECOVERING or (
            bool(reply["server"]) and reply["load"]["vocals"] > IDLE
        )

    # Clicks, for silence is no work for the networks.
    metronome = ("jack_metro", "--bpm", "1000", "--duration", "20", "--name", "clicks")
    daemon = (f"{PROGRAMS}/stemd", "run", "--stems", "2", *options)
    # Derived by another process: an emulated one can give back nothing that it has had.
    arm.run(f"{PROGRAMS}/stemd", "separate", silence(arm), "--stems", "2", *derive)
    for _ in range(ATTEMPTS):
        with jackd(arm), running(arm, *metronome), running(arm, *daemon):
            wait_until(has_begun, patience_s=900)
            reply = status()
            (pid,) = guests(arm, f"{PROGRAMS}/stemd")
            memory_mb = guests_memory_mb(pid)
            if RECOVERING not in (reply["state"], status()["state"]):
                break
    else:
        pytest.fail("this machine is too busy: each time the emulated network was given up")
    print(f"{networks}: {memory_mb:.1f} MB private; {json.dumps(reply['blocks'])}")
    assert ["stemd:vocals_L", "system:playback_1"] in reply["connections"]
    assert ["clicks:1000_bpm", "stemd:in_L"] in reply["connections"]
    assert memory_mb <= MOST_MB[arm.suite][networks]
