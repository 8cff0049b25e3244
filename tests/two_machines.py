"""Two machines joined by a cable, one with the sound card and one with stemd: namespaces."""

import os
import re
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml

from processes import READY, end, running
from waiting import wait_until

PAGE = (Path(__file__).parents[1] / "docs" / "network.md").read_text()
CONFIG = re.search("```yaml\n(.*?)```", PAGE, re.DOTALL)[1]
STEMS = ("vocals", "accompaniment")

BOARD, DESK = "stemd-board", "stemd-desk"
"""Names of the namespaces and of the JACK servers in them."""

ADDRESSES = {BOARD: "10.0.0.1", DESK: "10.0.0.2"}


@contextmanager
def cable():
    """Two machines that see each other and nobody else."""
    with ExitStack() as stack:
        for name in ADDRESSES:
            ip("netns", "add", name)
            stack.callback(ip, "netns", "delete", name)
        ip("link", "add", "wire", "netns", BOARD, "type", "veth", "peer", "wire", "netns", DESK)
        for name, address in ADDRESSES.items():
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "address", "add", f"{address}/24", "dev", "wire")
            ip("-n", name, "link", "set", "wire", "up")
            ip("-n", name, "route", "add", "default", "dev", "wire")
        yield


def ip(*words: str) -> None:
    ended = subprocess.run(["ip", *words], capture_output=True, text=True)
    assert ended.returncode == 0, f"ip {' '.join(words)}: {ended.stderr}"


@contextmanager
def joined(samplerate: int, period: int, latency: int):
    """JACK on both as the page has it, but for the sound card."""
    net = ("-a", ADDRESSES[BOARD], "-n", "stemd", "-C", 2, "-P", 4, "-l", latency)
    with server(BOARD, "dummy", "-r", samplerate, "-p", period):
        on(BOARD, "jack_load", "netmanager")
        with server(DESK, "net", *net):
            wait_until(lambda: "stemd:from_slave_4" in on(BOARD, "jack_lsp"))
            yield


@contextmanager
def server(name: str, driver: str, *options: object):
    words = ["jackd", "-n", name, "-d", driver, *map(str, options)]
    process = subprocess.Popen(
        ["ip", "netns", "exec", name, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        on(name, "jack_wait", "--wait", "--timeout", "30")
        yield
    finally:
        end(process)


def on(name: str, *command: str) -> str:
    """What a command prints on one of the two."""
    words = ["ip", "netns", "exec", name, *command]
    ended = subprocess.run(words, env=environment_of(name), capture_output=True, text=True)
    assert ended.returncode == 0, f"{words}: {ended.stderr}"
    return ended.stdout


def environment_of(name: str) -> dict[str, str]:
    return {**os.environ, "JACK_DEFAULT_SERVER": name}


@contextmanager
def stemd_on_the_desk(folder: Path):
    """The daemon there, with the page's configuration; yields the delay that it declares."""
    (folder / "network.yaml").write_text(CONFIG)
    places = [f"control.socket={folder / 'socket'}"]
    options = ["-c", folder / "network.yaml", "--set", *places]
    with running(environment_of(DESK), *options) as (_, log):
        wanted = yaml.safe_load(CONFIG)["jack"]["autoconnect"].items()
        pairs = [
            (p, f"stemd:{ours}") if ours.startswith("in_") else (f"stemd:{ours}", p)
            for ours, p in wanted
        ]
        wait_until(lambda: all(is_connected(*pair) for pair in pairs))
        yield int(re.search(r"delay of (\d+) frames", log.find(READY))[1])


def is_connected(source: str, target: str) -> bool:
    """Whether it is, on the desk."""
    pattern = rf"^{re.escape(source)}\n((?:   .*\n)*)"
    found = re.search(pattern, on(DESK, "jack_lsp", "-c"), re.MULTILINE)
    return bool(found) and target in found[1].split()
