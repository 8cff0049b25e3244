"""`stemd models`: what a user types and reads. The sets are the real ones."""

import re

import click
import pytest
from click.testing import CliRunner

from damaged import damaged_four_stems
from known_sets import TWO
from stemd.daemon.cli import models
from stemd.daemon.presets import PRESETS
from stemd.daemon.work import Work
from stemd.dsp import scheme
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.graphs import spec
from stemd.tflite_models.network import Network
from stemd.tflite_models.store.library import Library


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("STEMD_MODELS_URL", raising=False)


@pytest.fixture
def stemd_models():
    def run(*arguments):
        result = CliRunner().invoke(models.models, arguments)
        if isinstance(result.exception, ModelError):
            raise result.exception
        return result

    return run


@pytest.fixture
def small(library, monkeypatch):
    """Let the commands see the small sets in place of the real ones."""
    monkeypatch.setattr(models, "_library", lambda: library)
    return library


def test_list_shows_the_bundled_set_and_how_to_get_the_other(stemd_models):
    header, two, four, five, ours = stemd_models("list").output.splitlines()
    assert header.split("  ")[0] == "NAME"
    assert re.match(
        r"2stems +bundled +fp16 +MIT +by default +vocals, accompaniment +/.*tflite_models/2stems$",
        two,
    )
    sdr = r"vocals \d+\.\d, drums \d+\.\d, bass \d+\.\d, other \d+\.\d"
    assert re.match(
        rf"4stems-stemd +bundled, fine-tuned +fp16 +MIT +on request +{sdr} "
        r"\(recorded songs\) +/.*/4stems-stemd$",
        ours,
    )
    assert re.match(
        rf"4stems +- .* no +{sdr} \(MUSDB18\) +available: \S*stemd models install 4stems$", four
    )
    stems = "vocals, piano, drums, bass, other"
    assert re.match(rf"5stems +- .* no +{stems} +available: \S*stemd models install 5stems$", five)


def test_list_shows_the_default_set_first(stemd_models, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    damaged_four_stems(tmp_path)
    _, first, second, *_ = stemd_models("list").output.splitlines()
    assert re.match(r"4stems +installed .* by default .* UNUSABLE", first)
    assert re.match(r"2stems +bundled .* on request", second)


def test_list_marks_unverified_and_damaged_sets(stemd_models, small, bundled, other_checkpoint_dir):
    stemd_models("install", "2stems", "--from", str(other_checkpoint_dir), "--allow-unverified")
    (bundled / "vocals.tflite").write_bytes(b"")
    _, first, second = stemd_models("list").output.splitlines()
    assert re.match(r"2stems +installed, unverified +fp32 +MIT +by default", first)
    assert re.search(r"no .* UNUSABLE: .*vocals\.tflite is 0 bytes long, expected", second)


@pytest.mark.parametrize("option", [[], ["--allow-unverified"]])
def test_install_says_what_it_did(stemd_models, small, checkpoint_dir, option):
    result = stemd_models("install", "2stems", "--from", str(checkpoint_dir), *option)
    assert re.match(
        r"installed 2stems: vocals, accompaniment \(fp32, verified\) in /.*/2stems$", result.output
    )


def test_install_refuses_what_is_not_verified(stemd_models, small, other_checkpoint_dir):
    with pytest.raises(ModelError, match="--allow-unverified"):
        stemd_models("install", "2stems", "--from", str(other_checkpoint_dir))
    result = stemd_models(
        "install", "2stems", "--from", str(other_checkpoint_dir), "--allow-unverified"
    )
    assert "(fp32, NOT verified)" in result.output


def test_install_downloads(stemd_models, small, site, monkeypatch):
    monkeypatch.setenv("STEMD_MODELS_URL", site.url)
    assert "installed 2stems" in stemd_models("install", "2stems").output
    assert site.asked


def test_what_was_installed_can_be_removed(stemd_models, small, bundled, checkpoint_dir):
    stemd_models("install", "2stems", "--from", str(checkpoint_dir))
    folder = small.installed_dir("2stems")
    assert stemd_models("remove", "2stems").output == f"removed {folder}\n"
    assert small.find("2stems").origin == "bundled"
    assert not folder.parent.exists()
    with pytest.raises(
        ModelError, match=r"2stems is not installed: no .*/2stems; bundled networks"
    ):
        stemd_models("remove", "2stems")


def test_a_set_that_is_damaged_can_be_removed(stemd_models, small, bundled, checkpoint_dir):
    stemd_models("install", "2stems", "--from", str(checkpoint_dir))
    (small.installed_dir("2stems") / "manifest.json").write_text("{")
    stemd_models("remove", "2stems")
    assert small.find("2stems").origin == "bundled"


def test_a_download_cannot_go_unverified(stemd_models):
    result = stemd_models("install", "2stems", "--allow-unverified")
    assert result.exit_code == 2
    assert "--allow-unverified goes with --from" in result.output


def test_verify_checks_everything_that_is_here(stemd_models):
    assert stemd_models("verify").output == (
        "2stems (bundled): 2 files are intact\n4stems-stemd (bundled): 4 files are intact\n"
    )
    assert stemd_models("verify", "2stems").output == "2stems (bundled): 2 files are intact\n"


def test_verify_tells_damage(stemd_models, small, bundled):
    (bundled / "vocals.tflite").write_bytes(b"")
    with pytest.raises(ModelError, match=r"vocals\.tflite is 0 bytes long"):
        stemd_models("verify")


def test_verify_tells_what_is_missing(stemd_models, small):
    with pytest.raises(ModelError, match=r"no networks are installed: run `stemd models install"):
        stemd_models("verify")


@pytest.mark.parametrize(
    "command",
    [("install",), ("install", "--from", "x"), ("remove",), ("verify",), ("export", "-o", "x")],
)
def test_an_unknown_name_is_a_slip_of_the_command_line(stemd_models, command):
    result = stemd_models(*command, "7stems")
    assert result.exit_code == 2
    assert "'7stems' is not one of '2stems', '4stems', '5stems'" in result.output
    assert "Did you mean " in result.output


def test_an_interrupted_install_ends_as_any_interrupted_command(small, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("stemd.tflite_models.store.install.download", interrupted)
    with pytest.raises(click.Abort):
        models.models(["install", "2stems"], standalone_mode=False)


@pytest.mark.parametrize(
    ("options", "window"),
    [
        ([], (128, 128)),
        (["--preset", "balanced"], None),
        (["--preset", "studio", "--B", "4"], (128, 4)),
        (["--T", "64", "--B", "8", "--A", "4", "--mirror", "2", "--precision", "fp32"], (64, 8)),
    ],
)
def test_export_writes_a_file_for_each_stem(
    stemd_models, small, bundled, tmp_path, options, window
):
    result = stemd_models("export", "2stems", *options, "-o", str(tmp_path / "out"))
    paths = [tmp_path / "out" / f"{stem}.tflite" for stem in ("vocals", "accompaniment")]
    assert result.output.splitlines() == [str(path) for path in paths]
    network = Network(paths[0])
    assert (window or (PRESETS["balanced"][0].T, PRESETS["balanced"][0].B)) == (
        network.T,
        network.B,
    )


def test_the_longest_window_is_the_daemon_s():
    assert spec.MAX_T == scheme.MAX_T


def test_every_number_reaches_the_graph(stemd_models, small, bundled, tmp_path, monkeypatch):
    specs = []
    monkeypatch.setattr(Library, "export", lambda _, name, spec, folder: specs.append(spec) or {})
    numbers = ["--T", "192", "--B", "8", "--A", "4", "--mirror", "2", "--precision", "int8"]
    stemd_models("export", "2stems", *numbers, "-o", str(tmp_path))
    assert str(specs[0]) == "T192-B8-A4-m2-int8"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["fp32"]),
        (["--preset", "live"], ["mixed", "fp32"]),
        (["--preset", "live", "--precision", "int8"], ["int8"]),
    ],
)
def test_a_preset_is_exported_as_the_daemon_would_run_it_here(
    stemd_models, bundled, tmp_path, monkeypatch, options, expected
):
    asked, specs = [], []

    def first_held(works):
        asked.extend(works)
        return works[-1]

    monkeypatch.setattr("stemd.daemon.capacity.choice.first_held", first_held)
    monkeypatch.setattr(Library, "export", lambda _, name, spec, folder: specs.append(spec) or {})
    stemd_models("export", "2stems", *options, "-o", str(tmp_path))
    preset = options[1] if options else "seed"
    assert asked == [Work(scheme, TWO, each) for scheme in PRESETS[preset] for each in expected]
    assert (specs[0].B, specs[0].precision) == (PRESETS[preset][-1].B, expected[-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--T", "100"], "T must be a multiple of 64 from 64 to 1024 (got 100)"),
        (["--T", "6400000000"], "T must be a multiple of 64 from 64 to 1024 (got 6400000000)"),
        (["--T", "64"], "A + B + mirror must be at most T"),
        (["--T", "64", "--B", "8", "--mirror", "50"], "mirror must be from 0 to less than half"),
        (["--preset", "none"], "'none' is not one of 'seed', 'studio'"),
        (["--precision", "int3"], "'int3' is not"),
    ],
)
def test_export_refuses(stemd_models, tmp_path, options, message):
    result = stemd_models("export", "2stems", *options, "-o", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "out").exists()
