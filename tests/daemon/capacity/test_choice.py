"""What a scheme costs here, what of it is remembered, and which scheme is chosen."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import astuple, replace
from pathlib import Path
from typing import ClassVar

import pytest

from damaged import damaged_four_stems
from known_sets import FOUR, TWO
from stalls import measure_undisturbed
from stemd.daemon.capacity import benchmark, choice, estimate, measurements, processor
from stemd.daemon.capacity.benchmark import Measurement, measure, measured
from stemd.daemon.capacity.choice import TRIES, first_held, quickest
from stemd.daemon.capacity.estimate import BOARDS, MOST_LOAD, Board, Core, ways_here
from stemd.daemon.capacity.measurements import Measurements
from stemd.daemon.config import SeparationSection
from stemd.daemon.errors import StemdError
from stemd.daemon.work import Work
from stemd.dsp.scheme import Scheme
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.files import locked
from two_networks import low_and_high
from waiting import wait_until

SCHEME = Scheme(T=64, B=4, A=2)
LADDER = [Work(replace(SCHEME, B=b), TWO, "mixed") for b in (1, 2, 4)]

FAST = Board("desktop", BOARDS[3].core.times(99, "fast"), 4, 8192)


@pytest.fixture
def loads(tmp_path, monkeypatch):
    """Loads by block length, instead of a measurement; and what was measured."""
    loads = {1: 1.5, 2: MOST_LOAD + 0.01, 4: MOST_LOAD}
    asked = []

    def fake(work):
        asked.append(work)
        return Measurement(loads[work.scheme.B], 0.1, 2, 3, 4)

    loads["asked"] = asked
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(measurements, "measured", fake)
    return loads


MEASURES = """
import sys, time
from stemd.daemon.capacity.benchmark import end_with
end_with(int(sys.argv[1]))
print("ready", flush=True)
time.sleep(60)
"""

ASKS = """
import os, subprocess, sys

child = subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())])
print(child.pid, flush=True)
child.wait()
"""


def test_what_measures_ends_with_the_process_that_asks():
    command = [sys.executable, "-c", ASKS, MEASURES]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        child = Path("/proc", parent.stdout.readline().strip())
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
    wait_until(lambda: not child.exists() or "State:\tZ" in (child / "status").read_text())


def test_what_measures_does_not_begin_for_a_process_that_has_ended():
    command = [sys.executable, "-c", MEASURES, "1"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b""


class TestMeasuring:
    def test_networks_that_take_half_of_the_time_are_half_of_the_load(self, monkeypatch):
        monkeypatch.setattr(benchmark, "LEAST_S", 0)
        block_s = SCHEME.block_s

        def slow(network):
            def run(window, out):
                time.sleep(block_s / 2)
                network(window, out)

            return run

        networks = {stem: slow(network) for stem, network in low_and_high(SCHEME).items()}
        found = measure_undisturbed(
            lambda: measure(networks, SCHEME), lambda it: it.load >= 0.9, spare_s=block_s / 10
        )
        assert 0.5 < found.load < 0.9
        assert block_s / 2 < found.network_ms / 1e3 < 0.9 * block_s
        assert found.cores < 0.4, "sleep is no work"
        assert 0 < found.dsp_ms < 15

    def test_a_process_of_its_own_measures_the_real_networks(self, tmp_path, monkeypatch):
        """Nothing is imported from the current folder."""
        for module in ("json", "soxr", "numpy", "stemd"):
            (tmp_path / f"{module}.py").write_text("raise SystemExit('poisoned')")
        monkeypatch.chdir(tmp_path)
        found = measured(Work(Scheme(T=64, B=32, A=0), TWO, "mixed", 1))
        assert all(number > 0 for number in astuple(found))
        assert 40 < found.memory_mb < 200

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            (
                "import os, signal; os.kill(os.getpid(), signal.SIGILL)",
                "was ended by SIGILL; choose",
            ),
            ("import sys; sys.exit(3)", "ended with exit code 3 and said: nothing; choose"),
            ("import sys; sys.exit('oh no')", "ended with exit code 1 and said: oh no; choose"),
        ],
    )
    def test_a_process_that_dies_is_told_of(self, code, message, monkeypatch, tmp_path):
        program = tmp_path / "python"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}"\n')
        program.chmod(0o755)
        monkeypatch.setattr(benchmark.sys, "executable", str(program))
        with pytest.raises(StemdError, match=message):
            measured(Work(SCHEME, TWO, "mixed", 1))

    def test_a_process_that_does_not_end_is_killed(self, monkeypatch, tmp_path):
        program = tmp_path / "python"
        program.write_text("#!/bin/sh\nexec sleep 60\n")
        program.chmod(0o755)
        monkeypatch.setattr(benchmark.sys, "executable", str(program))
        monkeypatch.setattr(benchmark, "LIMIT_S", 0.2)
        with pytest.raises(StemdError, match="did not end in 0 s; choose"):
            measured(Work(SCHEME, 2, "mixed", 1))

    def test_without_proc_nothing_is_measured(self, monkeypatch, tmp_path):
        monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
        with pytest.raises(StemdError, match=r"there is no .*cpuinfo; mount /proc"):
            measured(Work(SCHEME, 2, "mixed", 1))

    def test_what_it_cannot_load_is_told_in_its_words(self, tmp_path, monkeypatch):
        damaged_four_stems(tmp_path)
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        with pytest.raises(StemdError, match=r"T=64 B=4 A=2 failed: .*stemd models install 4stems"):
            measured(Work(SCHEME, FOUR, "mixed", 1))


class TestChoice:
    def test_the_first_scheme_within_the_headroom(self, loads):
        assert first_held(LADDER) == LADDER[2]
        assert loads["asked"] == LADDER

    def test_no_scheme_after_it_is_measured(self, loads):
        loads[1] = 0.2
        assert first_held(LADDER) == LADDER[0]
        assert loads["asked"] == LADDER[:1]

    def test_the_last_scheme_and_a_warning_where_none_is_held(self, loads, caplog):
        loads[4] = 0.9
        assert first_held(LADDER) == LADDER[2]
        assert "too slow for every scheme" in caplog.text

    def test_a_single_scheme_is_not_measured(self, loads):
        assert first_held(LADDER[:1]) == LADDER[0]
        assert not loads["asked"]


class Asked(list):
    """Works that were compared, and what comes out."""

    block_s: ClassVar = {"mixed": 0.02, "fp32": 0.01, "int8": 0.03}
    fails = False


class TestPrecision:
    """`precision: auto` is what is fastest of what sounds alike."""

    WAY = (Work(SCHEME, TWO, "mixed"), Work(SCHEME, TWO, "fp32"))

    @pytest.fixture
    def compared(self, tmp_path, monkeypatch):
        """Times of the precisions, instead of a comparison; and how often they were asked for."""
        asked = Asked()

        def fake(works):
            asked.append(works)
            if asked.fails:
                raise StemdError("no processor")
            return {work: asked.block_s[work.precision] for work in works}

        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(measurements, "compared", fake)
        return asked

    def board(self, int8, float32):
        return Board("any", Core("any", int8, float32, float32, 1e9), 2, 8192)

    @pytest.mark.parametrize(("int8", "precision"), [(100, "mixed"), (1, "fp32")])
    def test_a_clear_estimate_decides_and_only_the_unusual_is_told(
        self, compared, int8, precision, caplog
    ):
        caplog.set_level("INFO")
        assert quickest(self.WAY, self.board(int8, 10))[0].precision == precision
        told = "precision: auto is fp32 (a block takes " in caplog.text
        assert told == ("by estimate" in caplog.text) == (precision == "fp32")
        assert not compared

    def test_where_it_is_not_clear_they_are_compared_once(self, compared, caplog):
        caplog.set_level("INFO")
        for _ in range(2):
            assert quickest(self.WAY, self.board(10, 10))[0] == self.WAY[1]
        assert compared == [[*self.WAY]]
        told = "auto is fp32 (a block takes 20.0 ms in mixed, 10.0 ms in fp32, measured on this"
        assert told in caplog.text
        quickest(self.WAY, self.board(10, 10), anew=True)
        assert len(compared) == 2

    def test_what_needs_more_memory_must_be_worth_it(self, compared):
        compared.block_s = {"mixed": 0.0102, "fp32": 0.01}
        assert quickest(self.WAY, self.board(10, 10))[0] == self.WAY[0]

    def test_what_does_not_fit_into_memory_does_not_count(self, compared):
        small = replace(self.board(1, 10), memory_mb=400)
        assert quickest(self.WAY, small)[0] == self.WAY[0]
        assert not compared

    def test_why_is_said_of_what_was_chosen(self, compared, monkeypatch):
        monkeypatch.setattr(choice, "this_board", lambda: self.board(100, 10))
        chosen = choice.choose(self.WAY)
        assert chosen.work == self.WAY[0]
        assert re.fullmatch(r"a block takes .* in mixed, .* in fp32, by estimate", chosen.why)
        assert choice.choose(self.WAY[:1]).why == ""
        monkeypatch.setattr(estimate, "preferred_precision", lambda: "fp32")
        assert choice.choose(self.WAY)[::2] == (self.WAY[1], choice.ONLY_ONE)

    def test_with_the_runtime_of_old_it_is_float(self, compared, monkeypatch):
        monkeypatch.setattr(estimate, "preferred_precision", lambda: "fp32")
        assert quickest(self.WAY, self.board(100, 10))[0] == self.WAY[1]
        assert not compared

    def test_windows_are_chosen_by_a_precision_that_suits_the_runtime(self, monkeypatch):
        """Not by one that would be faster with another runtime."""
        pi = next(board for board in BOARDS if "5" in board.name)
        works = SeparationSection(preset="balanced").works(TWO)
        assert {ways[0].scheme.T for ways in ways_here(works, pi)} == {128, 64}
        monkeypatch.setattr(estimate, "preferred_precision", lambda: "fp32")
        only = [work for work in works if work.precision == "fp32"]
        assert ways_here(works, pi) == ways_here(only, pi) == [(only[-1],)]

    def test_what_is_known_waits_for_no_other_measurement(self, compared):
        cache = Measurements()
        cache.compare(self.WAY)
        with locked(cache.path.parent, wait=False):
            assert len(cache.compare(self.WAY)) == 2
        assert len(compared) == 1

    def test_what_cannot_be_compared_is_estimated(self, tmp_path, monkeypatch, caplog):
        def fail(works):
            raise StemdError("no processor")

        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(measurements, "compared", fail)
        work, why = quickest(self.WAY, self.board(13, 10))
        assert work.precision == "mixed"
        assert why.endswith("in fp32, by estimate: comparing them failed")
        assert "cannot be compared, so an estimate decides: no processor" in caplog.text

    def test_what_could_not_be_compared_is_not_tried_at_each_start(self, compared, caplog):
        caplog.set_level("INFO")
        compared.fails = True
        before = quickest(self.WAY, self.board(13, 10))
        caplog.clear()
        assert quickest(self.WAY, self.board(13, 10)) == before
        assert len(compared) == 1
        assert "cannot be compared (stemd bench tries again): no processor" in caplog.text
        compared.fails = False
        measured = quickest(self.WAY, self.board(13, 10), anew=True)
        assert "10.0 ms in fp32, measured on this machine" in measured[1]
        assert quickest(self.WAY, self.board(13, 10)) == measured
        assert len(compared) == 2
        assert not Measurements().recall_failure(self.WAY)

    def test_on_another_processor_they_are_compared_anew(self, compared, tmp_path, monkeypatch):
        """A card that moves to another board takes the cache with it."""
        quickest(self.WAY, self.board(10, 10))
        (tmp_path / "cpuinfo").write_text("model name\t: another")
        monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
        quickest(self.WAY, self.board(10, 10))
        assert len(compared) == 2

    def test_a_process_of_its_own_runs_the_real_networks_in_turns(self):
        works = [Work(Scheme(T=64, B=32, A=0), TWO, each) for each in ("mixed", "fp32")]
        block_s = benchmark.compared(works)
        assert [*block_s] == works
        assert all(0 < each < 60 for each in block_s.values())

    def test_a_comparison_is_of_the_networks_time(self, monkeypatch):
        monkeypatch.setattr(benchmark, "LEAST_S", 0)

        def slow(seconds):
            return {"low": lambda window, out: time.sleep(seconds), "rest": None}

        block_s = benchmark.compare({self.WAY[0]: slow(0.02), self.WAY[1]: slow(0.04)})
        assert 1.2 < block_s[self.WAY[1]] / block_s[self.WAY[0]] < 3
        assert block_s[self.WAY[0]] >= 0.02


class TestMeasurements:
    def test_what_is_held_is_never_measured_again(self, loads):
        for _ in range(TRIES + 2):
            first_held(LADDER[2:] + LADDER[:1])
        assert loads["asked"] == LADDER[2:]

    def test_the_window_of_one_delay_is_not_measured_and_is_told(self, loads, caplog, monkeypatch):
        caplog.set_level("INFO")
        works = [replace(LADDER[2], scheme=replace(SCHEME, T=T)) for T in (128, 64)]
        for board, work in ((FAST, works[0]), (BOARDS[0], works[1])):
            monkeypatch.setattr(choice, "this_board", lambda board=board: board)
            assert first_held(works) == work
            assert f"windows of {work.scheme.T} spectra, of 128 or 64: the longest" in caplog.text
        assert loads["asked"] == []

    def test_of_several_delays_long_windows_are_measured_where_they_may_be_held(
        self, loads, monkeypatch
    ):
        ladder = [
            replace(work, scheme=replace(work.scheme, T=T)) for work in LADDER for T in (128, 64)
        ]
        monkeypatch.setattr(choice, "this_board", lambda: BOARDS[0])
        assert first_held(ladder) == LADDER[2]
        assert loads["asked"] == LADDER
        monkeypatch.setattr(choice, "this_board", lambda: FAST)
        assert first_held(ladder) == ladder[4]
        assert loads["asked"][3:] == ladder[:5]

    def test_what_is_not_held_is_measured_again_lest_the_machine_was_busy(self, loads):
        assert first_held(LADDER) == LADDER[2]
        loads[1] = 0.3
        assert first_held(LADDER) == LADDER[0]
        loads[1] = 2.0
        assert first_held(LADDER) == LADDER[0], "the best counts"

    def test_what_is_never_held_is_given_up(self, loads):
        for _ in range(TRIES + 2):
            first_held(LADDER[:2])
        assert loads["asked"] == LADDER[:2] * TRIES

    @pytest.mark.parametrize(
        "other",
        [{"networks": FOUR}, {"precision": "int8"}, {"threads": 2}, {"residual": True}],
        ids=str,
    )
    def test_other_work_is_measured_anew(self, loads, other, monkeypatch):
        monkeypatch.setattr("stemd.daemon.capacity.choice.find_networks", lambda *_, **__: None)
        first_held(LADDER[1:])
        first_held([replace(work, **other) for work in LADDER[1:]])
        assert len(loads["asked"]) == 4

    @pytest.mark.parametrize(
        "make",
        [
            os.mkfifo,
            Path.mkdir,
            lambda path: path.symlink_to("/dev/zero"),
            lambda path: path.write_text("[" * 100_000),
            lambda path: path.write_bytes(b"\xff" * 100),
        ],
    )
    def test_what_is_no_file_of_ours_is_as_none(self, loads, make, tmp_path):
        (tmp_path / "stemd").mkdir()
        make(Measurements().path)
        assert Measurements().recall(LADDER[2]) is None
        assert first_held(LADDER[2:]) == LADDER[2]

    @pytest.mark.parametrize("wrong", ["-0.1", "0", "NaN", "1e999", '"fast"', "null"])
    def test_a_measurement_that_cannot_be_is_made_anew(self, loads, wrong):
        first_held(LADDER)
        path = Measurements().path
        text = path.read_text()
        path.write_text(re.sub('"load": ?[0-9.]+', f'"load":{wrong}', text))
        assert path.read_text() != text
        assert first_held(LADDER) == LADDER[2]
        assert loads["asked"] == LADDER * 2

    def test_another_machine_is_measured_anew(self, loads, monkeypatch):
        work = Work(SCHEME, TWO, "mixed", 1)
        Measurements().measure(work)
        assert Measurements().recall(work) is not None
        monkeypatch.setattr(measurements.platform, "node", lambda: "another")
        assert Measurements().recall(work) is None

    def test_two_versions_do_not_write_over_each_others_measurements(self, loads, monkeypatch):
        work = Work(SCHEME, TWO, "mixed", 1)
        Measurements().measure(work)
        with monkeypatch.context() as patch:
            patch.setattr(measurements, "VERSION", "another")
            assert Measurements().recall(work) is None
            Measurements().measure(work)
            assert Measurements().recall(work) is not None
        assert Measurements().recall(work) is not None

    @pytest.mark.parametrize(
        "content",
        [
            *("", "{", "[]", "{}", '{"machine": MACHINE}', "\0", "[" * 100_000),
            *(
                '{"machine": MACHINE, "remembered": {KEY: {"best": {"load": LOAD, "cores": 1,'
                ' "network_ms": 1, "dsp_ms": 1, "memory_mb": 1}, "times": 1}}}'.replace(
                    "LOAD", load
                )
                for load in ('"x"', "null", "NaN")
            ),
        ],
    )
    def test_a_damaged_file_is_as_none(self, loads, content, tmp_path):
        path, work = tmp_path / "machine.json", Work(SCHEME, TWO, "mixed", 1)
        content = content.replace("MACHINE", json.dumps(measurements.describe_machine()))
        path.write_text(content.replace("KEY", json.dumps(str(work))))
        assert Measurements(path).recall(work) is None
        Measurements(path).measure(work)
        assert Measurements(path).recall(work).best.load == MOST_LOAD

    def test_only_the_files_that_were_written_last_are_kept(self, loads, monkeypatch):
        work, paths = Work(SCHEME, TWO, "mixed", 1), []
        for number in range(measurements.MOST_FILES + 3):
            monkeypatch.setattr(measurements, "VERSION", f"0.{number}")
            Measurements().measure(work)
            paths.append(Measurements().path)
            os.utime(paths[-1], ns=(number, number))
        monkeypatch.setattr(measurements, "VERSION", "1.0")
        Measurements().measure(work)
        kept = [*paths[-measurements.MOST_FILES + 1 :], Measurements().path]
        assert set(paths[0].parent.glob("machine-*.json")) == set(kept)

    def test_measurements_are_for_their_owner_alone(self, loads, tmp_path):
        Measurements(tmp_path / "machine.json").measure(Work(SCHEME, TWO, "mixed", 1))
        assert (tmp_path / "machine.json").stat().st_mode & 0o777 == 0o600

    def test_where_nothing_can_be_written_nothing_is_remembered(self, loads, tmp_path, caplog):
        caplog.set_level("INFO")
        (tmp_path / "file").write_text("")
        found = Measurements(tmp_path / "file" / "machine.json").measure(
            Work(SCHEME, TWO, "mixed", 1)
        )
        assert found.best.load == MOST_LOAD
        assert "cannot be written, so nothing is remembered" in caplog.text

    def test_who_has_no_home_is_told_what_to_set(self, monkeypatch):
        def no_home(_):
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr("stemd.tflite_models.files.platformdirs.user_cache_path", no_home)
        with pytest.raises(ModelError, match=r"no home folder .* set HOME, or"):
            Measurements()
