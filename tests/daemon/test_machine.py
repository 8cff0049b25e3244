"""What a scheme costs here, what of it is remembered, and which scheme is chosen."""

import json
import time
from dataclasses import astuple, replace

import pytest

from stemd.daemon import machine, measuring
from stemd.daemon.errors import StemdError
from stemd.daemon.machine import HEADROOM, Memory, first_held
from stemd.daemon.measuring import Measurement, Work, measure, measured
from stemd.dsp.scheme import HOP_LENGTH, SAMPLERATE, Scheme
from two_networks import low_and_high

SCHEME = Scheme(T=64, B=4, A=2)
LADDER = [replace(SCHEME, B=b) for b in (1, 2, 4)]


@pytest.fixture
def loads(tmp_path, monkeypatch):
    """Loads by block length, instead of a measurement; and what was measured."""
    loads = {1: 1.5, 2: HEADROOM + 0.01, 4: HEADROOM}
    asked = []

    def fake(work):
        asked.append(work)
        return Measurement(loads[work.scheme.B], 0.1, 2, 3, 4)

    loads["asked"] = asked
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(machine, "measured", fake)
    return loads


class TestMeasuring:
    def test_networks_that_take_half_of_the_time_are_half_of_the_load(self, monkeypatch):
        monkeypatch.setattr(measuring, "LEAST_S", 0)
        block_s = SCHEME.B * HOP_LENGTH / SAMPLERATE

        def slow(network):
            def run(window, out):
                time.sleep(block_s / 2)
                network(window, out)

            return run

        networks = {stem: slow(network) for stem, network in low_and_high(SCHEME).items()}
        found = measure(networks, SCHEME)
        assert 0.5 < found.load < 0.9
        assert block_s / 2 < found.network_ms / 1e3 < 0.9 * block_s
        assert found.cores < 0.4, "sleep is no work"
        assert 0 < found.dsp_ms < 15

    def test_a_process_of_its_own_measures_the_real_networks(self):
        found = measured(Work(Scheme(T=64, B=32, A=0), 2, "mixed", 1))
        assert all(number > 0 for number in astuple(found))
        assert 40 < found.memory_mb < 200

    def test_what_it_cannot_load_is_told_in_its_words(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        with pytest.raises(StemdError, match=r"T=64 B=4 A=2 failed: .*stemd models install 4stems"):
            measured(Work(SCHEME, 4, "mixed", 1))


class TestChoice:
    def test_the_first_scheme_within_the_headroom(self, loads):
        assert first_held(2, LADDER, "mixed") == LADDER[2]
        assert [work.scheme for work in loads["asked"]] == LADDER

    def test_no_scheme_after_it_is_measured(self, loads):
        loads[1] = 0.2
        assert first_held(2, LADDER, "mixed") == LADDER[0]
        assert loads["asked"] == [Work(LADDER[0], 2, "mixed", 1)]

    def test_the_last_scheme_and_a_warning_where_none_is_held(self, loads, caplog):
        loads[4] = 0.9
        assert first_held(2, LADDER, "mixed") == LADDER[2]
        assert "too slow for every scheme" in caplog.text

    def test_a_single_scheme_is_not_measured(self, loads):
        assert first_held(2, LADDER[:1], "mixed") == LADDER[0]
        assert not loads["asked"]


class TestMemory:
    def test_nothing_is_measured_twice(self, loads):
        for _ in range(2):
            first_held(2, LADDER, "mixed")
        assert len(loads["asked"]) == 3

    @pytest.mark.parametrize("other", [(4, "mixed", 1), (2, "int8", 1), (2, "mixed", 2)], ids=str)
    def test_other_work_is_measured_anew(self, loads, other):
        first_held(2, LADDER, "mixed", 1)
        first_held(other[0], LADDER, *other[1:])
        assert len(loads["asked"]) == 6

    def test_another_machine_is_measured_anew(self, loads, monkeypatch):
        first_held(2, LADDER, "mixed")
        monkeypatch.setattr(machine.platform, "node", lambda: "another")
        first_held(2, LADDER, "mixed")
        assert len(loads["asked"]) == 6

    @pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"machine": MACHINE}', "\0"])
    def test_a_damaged_file_is_as_none(self, loads, content, tmp_path):
        path = tmp_path / "machine.json"
        path.write_text(content.replace("MACHINE", json.dumps(machine.describe_machine())))
        memory = Memory(path)
        assert memory.recall(Work(SCHEME, 2, "mixed", 1)) is None
        memory.measure(Work(SCHEME, 2, "mixed", 1))
        assert Memory(path).recall(Work(SCHEME, 2, "mixed", 1)) is not None

    def test_a_file_of_another_version_is_as_none(self, loads, tmp_path):
        path, work = tmp_path / "machine.json", Work(SCHEME, 2, "mixed", 1)
        Memory(path).measure(work)
        path.write_text(path.read_text().replace('"load"', '"burden"'))
        assert Memory(path).recall(work) is None

    def test_where_nothing_can_be_written_nothing_is_remembered(self, loads, tmp_path):
        (tmp_path / "file").write_text("")
        memory = Memory(tmp_path / "file" / "machine.json")
        assert memory.measure(Work(SCHEME, 2, "mixed", 1)).load == HEADROOM
