"""Songs on a Dask cluster: as on this machine, on a shared folder and without one."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from songs import write_noise
from stemd.daemon.errors import StemdError
from stemd.daemon.files.job import Job
from stemd.daemon.files.separate import wanted_files
from stemd.daemon.files.separator import SongSeparator, works_for
from stemd.daemon.files.stem_files import Destination
from stemd.dsp.mask_kinds import MaskExtension
from waiting import wait_until

pytest.importorskip("distributed")
from stemd.daemon.files import cluster
from stemd.daemon.files.cluster import Cluster

pytestmark = pytest.mark.filterwarnings("default")  # Dask's own

(WORK,) = works_for("2stems", preset="seed")


def ignored(*_: object) -> None:
    """Progress."""


def job(folder: Path, name: str = "song", seconds: float = 1, **more) -> Job:
    song = folder / f"{name}.wav"
    write_noise(song, seconds)
    files = wanted_files(WORK.networks.stems, ["vocals"])
    settings = SongSeparator([WORK], MaskExtension.MEAN).settings
    return Job(song, Destination(folder / "out" / name, settings=settings), files, **more)


@contextmanager
def dask(*words: object):
    """A program of Dask's, for as long as the context lasts."""
    command = [sys.executable, "-m", "distributed.cli.dask_" + str(words[0]), *map(str, words[1:])]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def running_scheduler(folder: Path):
    """Its process and its address."""
    file = folder / "scheduler.json"
    words = ("--host", "127.0.0.1", "--port", 0, "--no-dashboard", "--scheduler-file", file)
    with dask("scheduler", *words) as process:
        wait_until(lambda: file.exists() and '"tcp://' in file.read_text())
        yield process, file.read_text().partition('"address": "')[2].partition('"')[0]


@pytest.fixture
def scheduler(tmp_path):
    """Its address."""
    with running_scheduler(tmp_path) as (_, address):
        yield address


@contextmanager
def worker(scheduler: str, name: str, folder: Path):
    words = ("--nthreads", 1, "--no-nanny", "--no-dashboard", "--name", name)
    with dask("worker", scheduler, *words, "--local-directory", folder / name) as process:
        yield process


def opened(scheduler: str, folder: Path) -> Cluster:
    return Cluster(scheduler, folder, WORK, MaskExtension.MEAN)


def test_songs_are_separated_as_on_this_machine(scheduler, tmp_path):
    """With progress and a song that is none; a second run finds them done."""
    jobs = [job(tmp_path, f"song {number}", 30 * number + 1) for number in range(2)]
    (tmp_path / "none.wav").write_bytes(b"none")
    none = Job(tmp_path / "none.wav", jobs[0].destination, jobs[0].files)
    told = []
    with worker(scheduler, "a", tmp_path), opened(scheduler, tmp_path / "out") as crew:
        futures = [crew.submit(each, lambda *new: told.append(new)) for each in [*jobs, none]]
        outcomes = [each.result() for each in futures]
        again = crew.submit(Job(jobs[0].song, jobs[0].destination, jobs[0].files, True), ignored)
        assert again.result().state == "done already"
    assert [each.state for each in outcomes] == ["separated", "separated", "not separated"]
    assert told
    for each, outcome in zip(jobs, outcomes, strict=False):
        assert outcome.song == str(each.song)
        assert outcome.stems == [str(each.destination.folder / "vocals.wav")]
        alone = SongSeparator([WORK], MaskExtension.MEAN)
        from stemd.daemon.files.job import run_job

        beside = Job(each.song, Destination(tmp_path / "alone" / each.song.stem), each.files)
        run_job(beside, alone, ignored)
        x, y = (
            soundfile.read(path / "vocals.wav")[0]
            for path in (each.destination.folder, beside.destination.folder)
        )
        np.testing.assert_array_equal(x, y)
    assert not list((tmp_path / "out").glob(".part-*"))


def test_where_nothing_is_shared_songs_are_sent_and_stems_fetched(scheduler, tmp_path, monkeypatch):
    """The worker cannot see the token: it is not there."""
    monkeypatch.setattr(cluster, "PIECE_BYTES", 100_000)
    one = job(tmp_path, seconds=2)
    (tmp_path / "none.wav").write_bytes(b"RIFF")
    none = Job(tmp_path / "none.wav", one.destination, one.files)
    cut = job(tmp_path, "cut", seconds=2)
    cut = replace(cut, song=cut.song.with_suffix(".flac"))
    soundfile.write(cut.song, *soundfile.read(one.song))
    os.truncate(cut.song, cut.song.stat().st_size // 2)
    cut.destination.folder.mkdir(parents=True)
    (cut.destination.folder / "damage.txt").write_text("of the user's")
    with worker(scheduler, "a", tmp_path), opened(scheduler, tmp_path / "out") as crew:
        crew._token.unlink()
        refused = crew.submit(none, ignored).result()
        outcome = crew.submit(one, ignored).result()
        again = crew.submit(Job(one.song, one.destination, one.files, True), ignored).result()
        damaged = [
            crew.submit(replace(cut, resume=resume), ignored).result() for resume in (False, True)
        ]
    assert [each.state for each in damaged] == ["damaged", "damaged"]
    assert damaged[0].warnings == damaged[1].warnings
    assert (cut.destination.folder / "damage.txt").read_text() == "of the user's"
    assert (outcome.state, outcome.song) == ("separated", str(one.song))
    assert outcome.stems == [str(one.destination.folder / "vocals.wav")]
    assert os.listdir(one.destination.folder) == ["vocals.wav"]
    assert soundfile.info(outcome.stems[0]).frames == 2 * 44_100
    assert again.state == "done already"
    assert (refused.state, refused.song) == ("not separated", str(none.song))
    assert f"cannot read {none.song}: " in refused.warnings[0]


def test_a_worker_that_is_killed_costs_a_second_try(scheduler, tmp_path):
    jobs = [job(tmp_path, f"song {number}", 60) for number in range(3)]
    with (
        worker(scheduler, "a", tmp_path) as first,
        worker(scheduler, "b", tmp_path),
        opened(scheduler, tmp_path / "out") as crew,
    ):
        crew._client.wait_for_workers(2)
        killed = []

        def kill(*_: object) -> None:
            if not killed:
                killed.append(os.kill(first.pid, signal.SIGKILL))

        outcomes = [each.result() for each in [crew.submit(each, kill) for each in jobs]]
    assert killed
    assert [each.state for each in outcomes] == 3 * ["separated"]
    for each in jobs:
        assert soundfile.info(each.destination.folder / "vocals.wav").frames == 60 * 44_100


def test_a_run_that_is_interrupted_does_not_wait_for_its_songs(scheduler, tmp_path):
    long, told = job(tmp_path, seconds=900), []
    with worker(scheduler, "a", tmp_path):
        with opened(scheduler, tmp_path / "out") as crew:
            ended = crew.submit(long, lambda *new: told.append(new))
            wait_until(lambda: told)
        assert ended.result().state == "not separated"
    assert not (long.destination.folder / "vocals.wav").exists()


def test_a_scheduler_that_ends_ends_the_run_with_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 2.0)
    monkeypatch.setattr(cluster, "LOOK_S", 0.2)
    told = []
    with (
        running_scheduler(tmp_path) as (process, address),
        worker(address, "a", tmp_path),
        opened(address, tmp_path / "out") as crew,
    ):
        ended = crew.submit(job(tmp_path, seconds=300), lambda *new: told.append(new))
        wait_until(lambda: told)
        process.kill()
        with pytest.raises(StemdError, match=f"the Dask scheduler at {address} has ended: start"):
            ended.result()


def test_a_worker_with_other_networks_is_an_error(scheduler, tmp_path):
    one = job(tmp_path)
    other = Job(one.song, Destination(tmp_path / "out", settings="others"), one.files)
    with (
        worker(scheduler, "a", tmp_path),
        opened(scheduler, tmp_path / "out") as crew,
        pytest.raises(StemdError, match=r"the worker tcp://.* has other networks than this"),
    ):
        crew.submit(other, ignored).result()


def test_a_scheduler_that_is_not_there_or_has_no_workers_is_named(scheduler, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    monkeypatch.setattr(cluster, "WORKERS_S", 0.1)
    for address in ("tcp://127.0.0.1:1", "nonsense://x"):
        with pytest.raises(StemdError, match=f"no Dask scheduler answers at {address} "):
            opened(address, tmp_path)
    with pytest.raises(StemdError, match=r"has no workers: start some \(dask worker tcp://"):
        opened(scheduler, tmp_path)
