"""What a configuration asks for and this machine lacks is found before it is played."""

from dataclasses import replace

import pytest

from damaged import damaged_four_stems
from stemd.daemon.capacity import profiles
from stemd.daemon.capacity.estimate import BOARDS
from stemd.daemon.config_file import load_config
from stemd.daemon.control.interfaces.interface import Extra
from stemd.daemon.device import loopbacks
from stemd.daemon.errors import ConfigError
from stemd.daemon.supervisor import problems
from stemd.daemon.supervisor.problems import (
    other_problems,
    problems_of_networks,
    refuse_problems,
)
from stemd.tflite_models.errors import ModelError


def problems_of(config) -> list[str]:
    return [str(each) for each in (*problems_of_networks(config), *other_problems(config))]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("separation.networks=nope", "there are no networks named 'nope'; known are 2stems"),
        ("separation.networks=5stems", "the 5stems networks are not installed: run `stemd mode"),
        ("separation.stems=3", "there are no networks of 3 stems; known are 2stems (2)"),
        ("control.state_file=~nobodyknows/x", "control.state_file: there is no home folder for "),
        ("control.socket=~nobodyknows/x", "control.socket: there is no home folder for "),
        (
            ["jack.device=all", "jack.server=jack"],
            "jack.device: all needs PipeWire, and jack.server is jack: remove one of them, or ",
        ),
    ],
)
def test_each_problem_is_one_line(setting, said, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    settings = [setting] if isinstance(setting, str) else setting
    (line,) = problems_of(load_config(None, settings))
    assert line.startswith(said)


def test_a_program_that_the_sound_device_needs_is_missed(monkeypatch):
    monkeypatch.setattr(loopbacks.shutil, "which", lambda _: None)
    assert not problems_of(load_config(None, []))
    (line,) = problems_of(load_config(None, ["jack.device=output"]))
    assert line.startswith("jack.device: output needs pw-loopback, which is not installed: ")


def test_networks_that_have_no_residual_are_a_problem(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    settings = ["separation.networks=4stems-stemd", "separation.residual=true"]
    assert problems_of(load_config(None, settings)) == []
    chosen = problems.choose_networks("4stems-stemd")
    monkeypatch.setattr(problems, "choose_networks", lambda *_: replace(chosen, masks="softmax"))
    (line,) = problems_of(load_config(None, settings))
    assert "have no residual" in line


@pytest.mark.parametrize(("section", "package"), [("osc", "python-osc"), ("metrics", "prom")])
def test_packages_that_an_interface_lacks_are_a_problem(section, package, monkeypatch):
    monkeypatch.setattr(Extra, "is_installed", property(lambda _: False))
    (line,) = problems_of(load_config(None, [f"{section}.port=9000"]))
    assert line.startswith(f"{section}.port needs {package}")
    assert problems_of(load_config(None)) == []


def test_an_extra_is_installed_or_not():
    assert Extra("x", "pydantic").is_installed
    assert not Extra("x", "no-such-package-of-stemd").is_installed


def test_all_problems_are_named_at_once():
    settings = ["separation.networks=nope", "control.state_file=~nobodyknows/x"]
    with pytest.raises(ConfigError) as caught:
        refuse_problems(load_config(None, settings))
    first, *others = str(caught.value).splitlines()
    assert first == "the configuration cannot be used:"
    assert len(others) == 2
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("profile", ["none", "auto"])
def test_damaged_networks_hide_no_other_problem(tmp_path, monkeypatch, profile):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    damaged_four_stems(tmp_path)
    settings = [
        "separation.stems=4",
        "separation.T=100",
        f"separation.profile={profile}",
        "control.state_file=~nobodyknows/x",
    ]
    with pytest.raises(ConfigError) as caught:
        refuse_problems(load_config(None, settings))
    _, files, work, state_file = str(caught.value).splitlines()
    assert "run `stemd models install 4stems`" in files
    assert "T must be a multiple of 64" in work
    assert "control.state_file" in state_file


def test_damaged_networks_alone_are_no_error_of_the_configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    damaged_four_stems(tmp_path)
    with pytest.raises(ModelError, match="run `stemd models install 4stems`"):
        refuse_problems(load_config(None, ["separation.stems=4"]))


def test_networks_that_the_profile_does_not_take_are_no_problem(tmp_path, monkeypatch):
    """A Raspberry Pi 3 plays two stems; four that are damaged are installed, too."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    damaged_four_stems(tmp_path)
    monkeypatch.setattr(profiles, "this_board", lambda: BOARDS[1])
    assert problems_of(load_config(None, ["separation.profile=auto"])) == []
