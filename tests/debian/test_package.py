"""The Debian package: what is in it, and how it is installed, used, upgraded and purged."""

import json
import re
import subprocess
import tomllib
from email import message_from_string
from pathlib import Path
from statistics import median
from uuid import uuid4

import pytest

from booting import CHECKOUT, STEMD, USER, Machine, User
from recorded_song import shares_of_stems
from waiting import wait_until

pytestmark = [pytest.mark.deb, pytest.mark.timeout(900)]

LEFT_OUT = {"bench", "browsers", "cluster", "demo", "dev", "training"}
"""Extras; `demo` is a picture, for 96 megabytes of matplotlib."""

OTHERS = re.compile(r"/var/(lib/(apt|dpkg|systemd|ucf)|cache|log|tmp)\b|/root\b|/etc/ld\.so\.cache")
"""Paths that every package changes."""

USER_ID = "1000"

UP = "playing|silent"

APT = "env DEBIAN_FRONTEND=noninteractive apt-get"

SONG = "$(dpkg -L stemd | grep 'song/.*mp3$')"

AUDIBLE, INAUDIBLE = 0.7, 0.15
"""Shares of a stem in what the speakers play: 1 if it is there, 0 if not."""

RECORDINGS, RECORDING_S, PIECES = 10, 5, 5
"""A machine that stands still now and then loses some of what it plays and records."""


def run(*command: object) -> str:
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="session")
def verdicts() -> dict[Path, tuple[str, int]]:
    """What lintian says of each package, and how it ends; they are judged beside each other."""
    lintian = ["lintian", "--fail-on", "error", "--suppress-tags", "bogus-mail-host"]
    running = {
        package: subprocess.Popen([*lintian, package], stdout=subprocess.PIPE, text=True)
        for package in (CHECKOUT / "dist").glob("*_amd64.deb")
    }
    return {
        package: (process.communicate()[0], process.returncode)
        for package, process in running.items()
    }


def test_lintian_finds_no_error(package, verdicts):
    said, status = verdicts[package]
    print(said)
    assert status == 0


def test_it_brings_every_extra_that_a_user_needs():
    extras = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    text = (CHECKOUT / "packaging" / "debian" / "build.sh").read_text()
    brought = set(re.search(r"^extras=(.*)$", text, re.MULTILINE)[1].split(","))
    assert brought == {*extras["optional-dependencies"]} - LEFT_OUT


def test_it_tells_of_no_path_of_the_machine_that_made_it(package, tmp_path):
    run("dpkg-deb", "--raw-extract", package, tmp_path / "root")
    found = subprocess.run(["grep", "-rlF", CHECKOUT, tmp_path / "root"], capture_output=True)
    assert found.stdout.decode() == ""


def test_a_fresh_desktop_takes_one_command_to_a_demonstration(desktop):
    """Also the private server of the demonstration has to be there: `stemd demo` says so."""
    desktop(f"{APT} update -q")
    said = desktop(f"sudo {APT} install -y -q /srv/stemd.deb", USER)
    new = set(re.search(r"NEW packages will be installed:\n((?:  .*\n)+)", said)[1].split())
    assert new == {"pipewire-jack", "stemd"}
    assert "stemd, version" in desktop("stemd --version", USER)
    desktop(f"{APT} install -y -q jackd2 jack-stdio")
    told = desktop("stemd demo", USER)
    print(told)
    declared, measured = re.search(r"delay: (\d+) .* declared, (\d+) measured", told).groups()
    assert declared == measured


@pytest.fixture
def machine(desktop):
    """The desktop, booted; a user has logged in, and the package can be installed."""
    desktop(f"{APT} update -q && {APT} install -y -q mpv pipewire-jack")
    made = Machine(desktop.changes, desktop.root, USER_ID)
    made.boot()
    yield made
    made.halt()


class Root:
    """Who may do all on a machine."""

    def __init__(self, machine) -> None:
        self.machine = machine

    def __call__(self, command: str) -> str:
        ended = self.machine.run("sh", "-ec", command)
        assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def files(self) -> set[str]:
        """All paths that are left, but for those of every package."""
        found = self("find /usr /etc /var /opt /home /root -xdev").splitlines()
        return {path for path in found if not OTHERS.match(path)}


def test_it_is_installed_used_upgraded_and_purged_and_nothing_is_left(
    machine, desktop, newer, tmp_path
):
    root, user = Root(machine), User(machine)
    desktop.put(newer, "srv/newer.deb")
    root("loginctl enable-linger musician")
    wait_until(lambda: "speakers" in machine.run("pw-link", "--input", user=USER).stdout)
    before = root.files()

    root(f"{APT} install -y /srv/stemd.deb")  # without a network
    user("stemd", "service", "install", "--device", "all")
    wait_until(lambda: re.match(UP, user.property("StatusText")))
    karaoke(root, user, desktop, tmp_path)

    process = user.property("MainPID")
    root(f"{APT} install -y /srv/newer.deb")
    wait_until(lambda: user.property("MainPID") not in ("0", process))
    wait_until(lambda: re.match(UP, user.property("StatusText")))

    user("systemctl", "--user", "stop", "player")  # lest the machine waits for it when it halts
    user("stemd", "service", "uninstall")
    root(f"{APT} purge -y stemd")
    left = root.files() - before
    print("left:", *sorted(left))
    assert {path for path in left if not path.startswith("/home/musician/.")} == set()
    assert not [path for path in left if path.endswith("stemd.service")]


def karaoke(root, user, desktop, folder: Path) -> None:
    """Play by mpv, mute the singer, and look at what the speakers play."""
    song = root(f"echo {SONG}").strip()
    player = ["mpv", "--no-video", "--ao=pulse", "--loop", song]
    if desktop.suite == "bookworm":  # whose WirePlumber puts no device in front of the default one
        choice = ["default.configured.audio.sink", '{ "name": "stemd.sink" }', "Spa:String:JSON"]
        user("pw-metadata", "0", *choice)
    user("systemd-run", "--user", "--unit=player", *player)
    wait_until(lambda: re.search(r"mpv:\S+\n +\|-> stemd.sink:", user("pw-link", "--links")))
    stems = folder / "stems"
    (own,) = (CHECKOUT / "daemon" / "cli" / "song").glob("*.mp3")
    run(STEMD, "separate", own, "--stems", "2", "--bits", "float", "-o", stems)
    for action, least, most in (("unmute", AUDIBLE, 2), ("mute", -INAUDIBLE, INAUDIBLE)):
        user("stemd", "set", "vocals", f"--{action}")
        shares = heard_shares(user, desktop, stems)
        print(f"after --{action}:", json.dumps(shares))
        assert least < shares["vocals"] < most
        assert shares["accompaniment"] > AUDIBLE


def heard_shares(user, desktop, stems: Path) -> dict[str, float]:
    """Record what the speakers play until enough of it is whole; return the medians."""
    found: list[dict[str, float]] = []
    for _ in range(RECORDINGS):
        file = f"home/musician/{uuid4()}.wav"
        record = f"pw-record --target speakers -P stream.capture.sink=true /{file}"
        user("sh", "-c", f"timeout {RECORDING_S} {record} || true")
        found += shares_of_stems(desktop.path(file), stems)
        user("rm", f"/{file}")
        if len(found) >= PIECES:
            return {stem: round(median(each[stem] for each in found), 3) for stem in found[0]}
    raise AssertionError(f"too little of the song is heard in one piece: {found}")


def test_it_is_one_package_of_one_python(package):
    control = message_from_string(run("dpkg-deb", "--field", package))
    python = {"12": ("3.11", "3.12"), "13": ("3.13", "3.14")}
    (first, second) = python[re.search(r"~deb(\d+)", control["Version"])[1]]
    assert f"python3 (>= {first}~), python3 (<< {second}~)" in control["Depends"]
