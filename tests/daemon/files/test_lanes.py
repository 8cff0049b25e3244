"""Songs beside each other: each in a process of its own, which may end at any moment."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
import soundfile

from songs import write_noise
from stemd.daemon.files import container, lanes
from stemd.daemon.files.job import Job
from stemd.daemon.files.lanes import Lane, Lanes, lanes_for
from stemd.daemon.files.separate import wanted_files
from stemd.daemon.files.separator import works_for
from stemd.daemon.files.song import STANDARD_INPUT
from stemd.daemon.files.stem_files import Destination
from stemd.dsp.mask_kinds import MaskExtension
from stemd.tflite_models.errors import ModelError
from waiting import PATIENCE_S, wait_until

(WORK,) = works_for("2stems", preset="seed")


def ignored(*_: object) -> None:
    """Progress."""


def job(folder: Path, name: str = "song", seconds: float = 1, **more) -> Job:
    song = folder / f"{name}.wav"
    write_noise(song, seconds)
    files = wanted_files(WORK.networks.stems, ["vocals"])
    return Job(song, Destination(folder / f"stems of {name}"), files, **more)


def raise_eof(*_: object) -> None:
    raise EOFError


def lane() -> Lane:
    return Lane(WORK, MaskExtension.MEAN)


def test_songs_are_separated_beside_each_other_as_alone(tmp_path):
    jobs = [job(tmp_path, f"song {number}") for number in range(3)]
    with Lanes(2, WORK, MaskExtension.MEAN) as crew:
        outcomes = [each.result() for each in [crew.submit(each, ignored) for each in jobs]]
    assert [outcome.state for outcome in outcomes] == 3 * ["separated"]
    assert [soundfile.info(outcome.stems[0]).frames for outcome in outcomes] == 3 * [44_100]
    x = [soundfile.read(outcome.stems[0])[0] for outcome in outcomes]
    assert all(np.array_equal(x[0], other) for other in x[1:])


def test_a_song_whose_process_is_killed_is_begun_again(tmp_path):
    killed, one = [], lane()

    def kill_once(*_: object) -> None:
        if not killed:
            killed.append(one._process.pid)
            os.kill(one._process.pid, signal.SIGKILL)

    outcome = one.run(job(tmp_path, seconds=20), kill_once)
    one.close()
    assert killed
    assert outcome.state == "separated"
    assert os.listdir(tmp_path / "stems of song") == ["vocals.wav"]


def test_a_song_whose_process_always_ends_is_not_separated_and_the_next_one_is(tmp_path):
    one = lane()
    deadly = job(tmp_path, "deadly", 20)
    outcome = one.run(deadly, lambda *_: os.kill(one._process.pid, signal.SIGKILL))
    assert outcome.state == "not separated"
    assert "cannot separate" in outcome.warnings[0]
    assert "its process ended twice (signal 9)" in outcome.warnings[0]
    assert one.run(job(tmp_path), ignored).state == "separated"
    one.close()
    left = os.listdir(tmp_path / "stems of deadly")
    assert all(name.startswith(".part-") for name in left)


def test_what_is_piped_in_is_not_begun_again_in_the_middle(tmp_path, monkeypatch):
    begun, one = [], lane()
    monkeypatch.setattr(one, "_ensure_process", lambda: begun.append(1))
    monkeypatch.setattr(one, "_answer", raise_eof)
    one._connection = MagicMock()
    piped = replace(job(tmp_path), song=STANDARD_INPUT)
    read, write = os.pipe()
    kept = os.dup(0)
    try:
        os.dup2(read, 0)
        outcome = one.run(piped, ignored)
    finally:
        os.dup2(kept, 0)
        for descriptor in (read, write, kept):
            os.close(descriptor)
    assert outcome.state == "not separated"
    assert "its process ended (exit code 0)" in outcome.warnings[0]
    assert len(begun) == 1


def test_networks_that_cannot_be_loaded_end_the_run(tmp_path, monkeypatch):
    work = works_for("2stems")[0]
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with (
        Lanes(1, work, MaskExtension.MEAN) as crew,
        pytest.raises(ModelError, match="file"),
    ):
        crew.submit(job(tmp_path), ignored).result()


def test_lanes_that_are_closed_in_the_middle_leave_nothing(tmp_path, monkeypatch):
    """A long song: it is closed when the first progress is told."""
    monkeypatch.setattr(lanes, "STOP_S", PATIENCE_S)  # of a machine that stands still at times
    long, begun = job(tmp_path, seconds=60), []
    with Lanes(1, WORK, MaskExtension.MEAN) as crew:
        ended = crew.submit(long, lambda *progress: begun.append(progress))
        waiting = crew.submit(job(tmp_path, "other"), ignored)
        wait_until(lambda: begun)
        process = crew._lanes[0]._process
    assert ended.result().state == "not separated"
    assert waiting.cancelled()
    assert process.returncode == 0
    assert not (tmp_path / "stems of song").exists()


def test_a_process_ends_with_the_one_that_started_it(tmp_path):
    """Without a signal: its connection is closed."""
    one = lane()
    one.run(job(tmp_path), ignored)
    one._connection.close()
    assert one._process.wait(30) == 0


@pytest.mark.parametrize(
    ("cores", "gigabytes", "threads", "number"),
    [(4, 9, 1, 4), (4, 9, 2, 2), (8, 2, 1, 3), (1, 0, 9, 1)],
)
def test_there_are_as_many_lanes_as_cores_and_memory(
    cores, gigabytes, threads, number, monkeypatch
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores))
    monkeypatch.setattr(container, "cores_left", lambda: None)
    monkeypatch.setattr(lanes, "_available_bytes", lambda: gigabytes * 10**9)
    (work,) = works_for("2stems", threads=threads)
    assert lanes_for(work) == number


def test_lanes_share_the_time_to_end(monkeypatch):
    """None is waited for after the others have had their time."""
    now, given = [0.0], []
    monkeypatch.setattr(lanes, "monotonic", lambda: now[0])
    crew = Lanes(3, WORK, MaskExtension.MEAN)
    for one in crew._lanes:

        def close(patience_s: float) -> None:
            given.append(patience_s)
            now[0] += 4

        monkeypatch.setattr(one, "close", close)
    with crew:
        pass
    assert given == [5, 1, 0]


GIGABYTE = 10**9


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Control groups: this process is in a container's, which is in a slice."""
    monkeypatch.setattr(container, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(container, "OWN", tmp_path / "own")
    (tmp_path / "own").write_text("1:cpu:/other\n0::/slice/container\n")
    (tmp_path / "cgroup" / "slice" / "container").mkdir(parents=True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    return tmp_path / "cgroup"


def limit(group: Path, cpu: str, memory: str, used: int = 0, freed: int = 0) -> None:
    (group / "cpu.max").write_text(f"{cpu} 100000\n")
    (group / "memory.max").write_text(f"{memory}\n")
    (group / "memory.current").write_text(f"{used}\n")
    (group / "memory.stat").write_text(f"anon {used - freed}\ninactive_file {freed}\n")


def test_the_limits_of_every_container_around_count(groups):
    assert (container.cores_left(), container.bytes_left()) == (None, None)
    limit(groups / "slice" / "container", "max", "max")
    assert (container.cores_left(), container.bytes_left()) == (None, None)
    limit(groups / "slice", "250000", str(4 * GIGABYTE), 3 * GIGABYTE, GIGABYTE)
    assert (container.cores_left(), container.bytes_left()) == (2.5, 2 * GIGABYTE)
    limit(groups / "slice" / "container", "150000", str(GIGABYTE), GIGABYTE)
    assert (container.cores_left(), container.bytes_left()) == (1.5, 0)


def limit_of_version_1(group: str, cpu: int, memory: int, used: int = 0, freed: int = 0) -> None:
    """Each controller has a folder of its own; -1 and 2**63 - 4096 are no limits."""
    for controller, name, value in (
        ("cpu", "cpu.cfs_quota_us", cpu),
        ("cpu", "cpu.cfs_period_us", 50_000),
        ("memory", "memory.limit_in_bytes", memory),
        ("memory", "memory.usage_in_bytes", used),
        ("memory", "memory.stat", f"total_rss {used - freed}\ntotal_inactive_file {freed}"),
    ):
        path = container.GROUPS / controller / group / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")


@pytest.mark.usefixtures("groups")
@pytest.mark.parametrize("mounted", ["slice", ""], ids=["outside", "in the container"])
def test_limits_of_version_1_count_too(mounted):
    """In a container its own group is the root of what is mounted, whatever its name outside."""
    container.OWN.write_text("9:cpu,cpuacct:/slice/one\n8:memory:/slice/one\n0::/slice/one\n")
    assert (container.cores_left(), container.bytes_left()) == (None, None)
    limit_of_version_1("slice/one", -1, 2**63 - 4096)
    assert (container.cores_left(), container.bytes_left()) == (None, None)
    limit_of_version_1(mounted, 125_000, 4 * GIGABYTE, 3 * GIGABYTE, GIGABYTE)
    assert (container.cores_left(), container.bytes_left()) == (2.5, 2 * GIGABYTE)
    limit_of_version_1("slice/one", 75_000, GIGABYTE, GIGABYTE)
    assert (container.cores_left(), container.bytes_left()) == (1.5, 0)


def test_a_container_has_no_more_lanes_than_its_limits_allow(groups, monkeypatch):
    limit(groups / "slice", "300000", "max")
    monkeypatch.setattr(lanes, "_available_bytes", lambda: 99 * GIGABYTE)
    assert lanes_for(WORK) == 3


def test_a_container_has_the_memory_that_it_is_given(groups):
    limit(groups / "slice", "max", "1000")
    assert lanes._available_bytes() == 1_000
