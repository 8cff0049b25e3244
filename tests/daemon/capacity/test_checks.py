"""What is checked of this machine's runtime, speed and processor."""

import re
from functools import partial

import pytest

from stemd.daemon.capacity import checks, estimate
from stemd.daemon.capacity.benchmark import Measurement
from stemd.daemon.capacity.checks import check_processor, check_speed, check_versions
from stemd.daemon.capacity.choice import ONLY_ONE
from stemd.daemon.config import SeparationSection
from stemd.daemon.errors import StemdError
from stemd.daemon.findings import Weight
from stemd.tflite_models.errors import ModelError


def speed(monkeypatch, measured, **wishes):
    monkeypatch.setattr(checks, "measured", measured)
    return list(check_speed(SeparationSection(stems=2, **wishes)))


def test_a_machine_that_holds_the_preset_is_good(monkeypatch):
    precision, found = speed(monkeypatch, lambda work: Measurement(0.2, 0.3, 1, 1, 100))
    assert (precision.about, precision.weight) == ("precision", Weight.GOOD)
    assert re.match(r"(mixed|fp32), because a block takes [\d.]+ ms in mixed, ", precision.found)
    assert found.weight is Weight.GOOD
    assert "a load of 20%, 0.30 cores busy" in found.found


def test_a_slow_machine_gets_a_hint(monkeypatch):
    *_, found = speed(monkeypatch, lambda work: Measurement(0.9, 1, 1, 1, 1))
    assert found.weight is Weight.HINT
    assert "stemd bench" in found.remedy


def test_the_precision_is_explained_only_where_stemd_chose_it(monkeypatch):
    held = partial(speed, monkeypatch, lambda work: Measurement(0.2, 0.3, 1, 1, 100))
    assert [found.about for found in held(precision="mixed")] == ["speed"]
    monkeypatch.setattr(estimate, "preferred_precision", lambda: "fp32")
    assert held()[0].found == f"fp32, because {ONLY_ONE}"


def test_networks_that_cannot_run_are_bad(monkeypatch):
    def crash(work):
        raise StemdError("it was killed; install another runtime")

    (found,) = speed(monkeypatch, crash)
    assert (found.weight, found.found) == (Weight.BAD, "it was killed; install another runtime")


def test_networks_that_are_not_there_have_no_speed(monkeypatch):
    def missing(work):
        raise ModelError("there are none")

    assert speed(monkeypatch, missing) == []


@pytest.mark.parametrize(
    ("governor", "driver", "weight"),
    [
        ("powersave", "acpi-cpufreq", Weight.HINT),
        ("powersave", "intel_pstate", Weight.GOOD),
        ("performance", "acpi-cpufreq", Weight.GOOD),
    ],
)
def test_slow_governor_is_told(tmp_path, monkeypatch, governor, driver, weight):
    (tmp_path / "scaling_governor").write_text(governor)
    (tmp_path / "scaling_driver").write_text(driver)
    monkeypatch.setattr(checks, "GOVERNOR", tmp_path)
    assert check_processor().weight is weight


def test_a_missing_runtime_is_bad(monkeypatch):
    def missing():
        raise ModelError("no TFLite runtime is installed")

    monkeypatch.setattr(checks, "runtime_version", missing)
    _, runtime = check_versions()
    assert (runtime.about, runtime.weight) == ("runtime", Weight.BAD)
