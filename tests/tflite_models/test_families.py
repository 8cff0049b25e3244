"""What every family of networks must keep to: the registered ones, and the one of the tests."""

import subprocess
import sys
from dataclasses import asdict
from typing import get_args

import pytest

import short_family as short
from stemd.daemon.capacity.estimate import BOARDS, expected_load
from stemd.daemon.ports import STEMS
from stemd.daemon.work import SetOfNetworks, Work
from stemd.dsp.scheme import MAX_T, Grid, Scheme, offline
from stemd.tflite_models.families import FAMILIES, releases
from stemd.tflite_models.graphs.spec import MaskKind, StreamingPrecision
from stemd.tflite_models.store.library import SET_NAME

ALL = [pytest.param(each, id=each.name) for each in (*FAMILIES.values(), short.FAMILY)]


@pytest.mark.parametrize("family", ALL)
def test_its_sizes_are_a_grid(family):
    grid = Grid(**asdict(family.sizes))
    assert offline(grid).T % family.sizes.stride == 0
    assert family.window % grid.stride == 0
    assert family.window <= MAX_T


@pytest.mark.parametrize("family", ALL)
def test_it_has_full_precision_and_names_others_that_there_are(family):
    assert "fp32" in family.precisions
    assert set(family.precisions) <= set(get_args(StreamingPrecision))
    for wanted in get_args(StreamingPrecision):
        assert family.precision(wanted) in family.precisions
    assert all(family.precision(each) == each for each in family.precisions)


@pytest.mark.parametrize("family", ALL)
def test_its_releases_can_be_installed_and_played(family):
    for name, release in family.releases.items():
        assert (release.name, release.family) == (name, family.name)
        assert SET_NAME.fullmatch(name)
        assert set(release.stems) <= set(STEMS)
        assert release.masks in get_args(MaskKind)
        assert all("/" not in file for file in release.files)
        assert set(release.checkpoint_sha256) in (set(), set(release.files))
        assert set(release.musdb18_sdr_db) <= set(release.stems)
        assert release.weights_bytes > 0


@pytest.mark.parametrize("family", ALL)
def test_its_cost_is_known_for_every_scheme_and_grows_with_the_block(family, monkeypatch):
    monkeypatch.setitem(FAMILIES, family.name, family)
    grid, networks = Grid(**asdict(family.sizes)), SetOfNetworks("x", STEMS[:2], family=family.name)
    whole = [Scheme(T=t, B=t, A=0, grid=grid) for t in (grid.stride, 2 * grid.stride)]
    for precision in family.precisions:
        for scheme in (*whole, Scheme(T=4 * grid.stride, B=2, A=1, mirror=1, grid=grid)):
            assert expected_load(Work(scheme, networks, precision), BOARDS[0]) > 0
        less, more = (Work(scheme, networks, precision).cost for scheme in whole)
        assert less.macs < more.macs
        assert less.activations < more.activations
        assert (less.weights, less.memory_mb) <= (more.weights, more.memory_mb)
        assert (less.macs_int8 > 0) == (precision != "fp32")


def test_no_two_families_have_a_set_of_the_same_name():
    assert len(releases()) == sum(len(each.releases) for each in FAMILIES.values())
    assert all(name == family.name for name, family in FAMILIES.items())


def test_to_know_the_families_takes_no_file_format():
    """The daemon knows them at every start, and often reads no graph."""
    code = (
        "import sys, stemd.tflite_models.families\n"
        "print(sorted({'tflite', 'flatbuffers', 'scipy', 'tarfile'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
