"""Whether a client was inactive is seen in its node and its threads."""

import json
import os
import threading
from time import monotonic, sleep

import pytest

from stemd.daemon.graph import stopped_clients
from stemd.daemon.graph.stopped_clients import was_inactive

SERIAL = 34


@pytest.fixture
def dump(tmp_path, monkeypatch):
    """Let pw-dump run a script, or print what PipeWire 0.3.65 prints of a client."""
    monkeypatch.setattr(stopped_clients, "LATE_S", 0.1)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    program = tmp_path / "pw-dump"

    def install(script: str | None = None, state: str = "running", **properties) -> None:
        node = {"object.serial": SERIAL, "client.id": 30, "node.always-process": True, **properties}
        (tmp_path / "dump.json").write_text(
            json.dumps(
                [
                    {"id": 28, "type": "PipeWire:Interface:Metadata", "metadata": []},
                    {"id": 30, "info": {"props": {"pipewire.sec.pid": os.getpid()}}},
                    {"id": 29, "info": {"props": {"object.serial": 33}, "state": "idle"}},
                    {"id": 31, "info": {"state": state, "props": node}},
                    {"id": 32, "info": None},
                ]
            )
        )
        program.write_text(f"#!/bin/sh\n{script or f'cat {tmp_path}/dump.json'}\n")
        program.chmod(0o755)

    return install


@pytest.mark.parametrize("state", ["idle", "suspended"])
def test_a_client_whose_node_does_not_run_is_inactive(state, dump):
    dump(state=state)
    assert was_inactive(SERIAL, monotonic()) is True


def test_a_client_that_runs_as_before_was_active_all_the_time(dump):
    dump()
    sleep(1.5 * stopped_clients.LATE_S)  # the last test's threads are older
    assert was_inactive(SERIAL, monotonic()) is False


def test_a_client_that_is_active_again_has_a_new_thread(dump):
    dump()
    sleep(1.5 * stopped_clients.LATE_S)
    lost = monotonic()
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    assert was_inactive(SERIAL, lost) is True
    done.set()
    thread.join()


def test_a_thread_of_another_name_is_none_of_libjacks(dump, tmp_path, monkeypatch):
    dump()
    lost = monotonic()
    task = tmp_path / "task" / "1"
    task.mkdir(parents=True)
    old = " ".join(["S", *["0"] * 18, "1"])
    (task / "stat").write_text(f"1 (data-loop.0) {old}\n")
    young = " ".join(["S", *["0"] * 18, str(2**62)])
    (tmp_path / "task" / "2").mkdir()
    (tmp_path / "task" / "2" / "stat").write_text(f"2 (decoder (1)) {young}\n")
    monkeypatch.setattr(stopped_clients, "Path", lambda _: tmp_path / "task")
    assert was_inactive(SERIAL, lost) is False
    (task / "stat").write_text(f"1 (data-loop.0) {young}\n")
    assert was_inactive(SERIAL, lost) is True


def test_a_stream_that_pauses_keeps_its_connections(dump):
    dump(state="idle", **{"node.always-process": None})
    assert was_inactive(SERIAL, monotonic()) is False


def test_processes_that_cannot_be_seen_count_by_their_nodes(dump):
    dump(**{"client.id": 99})
    assert was_inactive(SERIAL, 0) is False


@pytest.mark.parametrize(
    "script", ["exit 1", "echo no JSON", "sleep 60", "printf '[]'", "printf 7"]
)
def test_without_an_answer_no_client_counts_as_inactive(script, dump, monkeypatch):
    monkeypatch.setattr(stopped_clients, "DUMP_S", 0.3)
    dump(f"exec {script}" if script.startswith("sleep") else script)
    assert was_inactive(SERIAL, monotonic()) is False


def test_without_the_program_no_client_counts_as_inactive(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert was_inactive(SERIAL, monotonic()) is False


def test_another_remote_is_asked_by_its_name(dump, tmp_path):
    dump(f'echo "$@" > {tmp_path}/arguments; cat {tmp_path}/dump.json', state="idle")
    assert was_inactive(SERIAL, monotonic(), "studio") is True
    assert (tmp_path / "arguments").read_text() == "--remote studio\n"
