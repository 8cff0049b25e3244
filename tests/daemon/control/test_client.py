"""A client in Python, and what docs/control.md says of it and of replies."""

import json
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from fake_daemon import FakeDaemon
from statuses import status
from stemd.daemon.control.client import ControlClient, read_status
from stemd.daemon.control.events import MetersRead, StateChanged, StripChanged
from stemd.daemon.control.interfaces.control_server import ControlServer
from stemd.daemon.control.mixer import Strip
from stemd.daemon.control.protocol import line
from stemd.daemon.control.replies import JoinedStatus, Reloaded, Status
from stemd.daemon.errors import StemdError

DOCUMENT = (Path(__file__).parents[3] / "docs" / "control.md").read_text()


@pytest.fixture
def daemon(tmp_path, monkeypatch):
    """One that answers where a client looks by itself."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    made = FakeDaemon()
    server = ControlServer(tmp_path / "stemd" / "stemd.socket", made)
    server.start()
    yield made
    server.close()


@pytest.fixture
def client(daemon):
    with ControlClient() as made:
        yield made


def test_each_request_has_a_method_with_a_typed_reply(daemon, client):
    assert client.status() == read_status(status())
    assert client.set("vocals", gain=-6) == Strip(gain=-6)
    assert client.set("vocals", mute=True, solo=True) == Strip(gain=-6, mute=True, solo=True)
    assert client.bypass()
    assert not client.bypass(False)
    assert client.device("output").mode == client.device().mode == "output"
    assert client.record(True, folder="/takes").folder == "/takes"
    assert not client.record().on
    learned = client.learn("gain", "vocals", fine=True)
    assert learned == daemon.wish.model_copy(update={"cc": 21, "channel": 1})
    daemon.reloaded = Reloaded(changed=["separation.preset"], at_next_start=[])
    assert client.reload() == daemon.reloaded
    assert not daemon.stopped.is_set()
    assert client.ask("stop") == {}
    assert daemon.stopped.is_set()


def test_what_is_refused_is_an_error_with_the_daemons_words(client):
    with pytest.raises(StemdError, match="there is no stem drums now"):
        client.set("drums", mute=True)


def test_keys_of_a_later_version_are_ignored(daemon, client):
    later = status(server={"cards": 2})
    strip = {**later["mixer"]["vocals"], "pan": 0.5}
    daemon.raw = {**later, "mixer": {"vocals": strip}, "scenes": []}
    assert client.status() == read_status({**status(), "mixer": {"vocals": Strip().model_dump()}})


@pytest.mark.parametrize("server", [None, {}])
def test_a_status_reads_back_as_itself(server):
    read = read_status(status(server=server))
    assert type(read) is (JoinedStatus if server is not None else Status)
    assert read_status(json.loads(line(vars(read)))) == read


def test_the_example_in_the_document_runs(daemon, capsys):
    example = DOCUMENT.partition("<!-- test: python -->")[2].split("```")[1]
    exec(example.removeprefix("python\n"), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "playing 2stems ['vocals', 'accompaniment']"
    assert daemon.mixer.strips()["vocals"].gain == -6
    assert daemon.is_bypassed


def test_the_document_explains_every_key_of_a_status_and_no_other():
    table = DOCUMENT.partition("### Status")[2].partition("###")[0]
    rows = re.findall(r"^\| (`.+?) \| (.+) \|$", table, re.MULTILINE)
    texts = {key: text for row, text in rows for key in re.findall(r"`([\w.]+)`", row)}
    kinds = get_type_hints(JoinedStatus)
    keys = [key for key in texts if "." not in key]
    assert sorted(keys) == sorted(kinds)
    explained = {
        key: {
            *re.findall(r"`(\w+)`", texts[key]),
            *(inner.removeprefix(f"{key}.") for inner in texts if inner.startswith(f"{key}.")),
        }
        for key in keys
    }
    for key in keys:
        for kind in filter(is_dataclass, (kinds[key], *get_args(kinds[key]))):
            assert {field.name for field in fields(kind)} <= explained[key], key


def test_events_are_typed_and_those_of_a_later_version_are_left_out(daemon, client):
    class Later(StateChanged):
        event = "scene"

    events = client.events(meters_s=0.05)
    daemon.bulletin.publish(Later("playing"))
    daemon.bulletin.publish(StateChanged("silent", left_out=3))
    client.set("vocals", mute=True)
    levels = MetersRead(daemon.peaks())
    found = (event for event in events if event != levels)
    assert next(found) == StateChanged("silent", left_out=3)
    assert next(found) == StripChanged("vocals", 0, mute=True, solo=False)
    assert levels in events
