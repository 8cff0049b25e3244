"""Other people's programs, each with servers, folders and names of its own."""

import os
import subprocess
from contextlib import contextmanager

import pytest

from peer_programs import RATE, Desk
from processes import running
from stemd.daemon.graph.private_server import private_server
from waiting import PATIENCE_S


def pytest_collection_modifyitems(items) -> None:
    """Mark all tests here."""
    for item in items:
        if item.path.parent.name == "peers":
            item.add_marker(pytest.mark.peers)


@pytest.fixture
def home(tmp_path):
    """A home of its own, and what programs need to find it and a JACK server of its own."""
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    keep = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
    with private_server(RATE, 1024, realtime=False) as name:
        yield {
            **keep,
            "HOME": str(tmp_path),
            "XDG_RUNTIME_DIR": str(runtime),
            "JACK_DEFAULT_SERVER": name,
            "JACK_NO_AUDIO_RESERVATION": "1",
        }


@pytest.fixture
def stemd(home):
    """A function that runs stemd with settings as long as its context lasts."""

    @contextmanager
    def run(*settings: str):
        options = [option for setting in settings for option in ("--set", setting)]
        with running(home, "--stems", "2", "--preset", "studio", *options) as (process, _):
            yield Desk(process, home)

    return run


@pytest.fixture
def tool(home):
    """A function that runs another program to its end and returns what it printed."""

    def run(*command: str, check: bool = True, **more) -> str:
        ended = subprocess.run(
            command,
            env={**home, **more},
            check=check,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        return ended.stdout

    return run
