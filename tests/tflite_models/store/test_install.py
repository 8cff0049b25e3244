"""Installing: verified, whole or not at all, and nothing left behind."""

import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

import small_disk
import tiny_model as tiny
from stemd.tflite_models import files
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.spleeter.checkpoint import Checkpoint
from stemd.tflite_models.spleeter.reader import read_weights
from stemd.tflite_models.spleeter.releases import DATA_FILE, INDEX_FILE, release
from stemd.tflite_models.spleeter.variables import read_unet
from stemd.tflite_models.store import install, set_folder
from stemd.tflite_models.store.install import Installer
from stemd.tflite_models.store.library import Library
from stemd.tflite_models.store.manifest import MANIFEST

STOPS = [KeyboardInterrupt(), SystemExit(143)]
"""How Ctrl-C and SIGTERM arrive."""


@pytest.fixture
def installer(library, site):
    return Installer(library, url=site.url, retry_delay_s=0)


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def assert_only_the_set(models):
    """Nothing but the set's own files is in the folder of models."""
    manifest = json.loads((models / "2stems" / MANIFEST).read_text())
    names = [MANIFEST, *(record["file"] for record in manifest["files"])]
    assert files_in(models) == sorted(["2stems", *(f"2stems/{name}" for name in names)])


def weights(found):
    return {
        stem: read_weights(path)[0].encoder[0].kernel.tobytes()
        for stem, path in found.paths.items()
    }


@pytest.mark.parametrize("way", ["download", "archive", "folder"])
def test_every_way_gives_the_checkpoint_s_own_float32(
    installer, archive, checkpoint_dir, way, tmp_path
):
    source = {"download": None, "archive": archive, "folder": checkpoint_dir}[way]
    found = installer.install("2stems", source)
    assert (found.origin, found.precision, found.stems) == ("installed", "fp32", tiny.STEMS)
    assert found.manifest.provenance.verified
    for stem in tiny.STEMS:
        expected = read_unet(Checkpoint(checkpoint_dir), tiny.ARCHITECTURE, stem).tensors()
        read, about = read_weights(found.paths[stem])
        assert {name: array.tobytes() for name, array in read.tensors().items()} == {
            name: array.tobytes() for name, array in expected.items()
        }
        assert about["provenance"]["release"] == "v1.4.0"
    assert_only_the_set(tmp_path / "data" / "models")
    if way == "folder":
        assert files_in(checkpoint_dir) == sorted([DATA_FILE, INDEX_FILE])


def test_the_archive_is_gone_before_the_graphs_need_its_room(installer, monkeypatch, tmp_path):
    seen = []

    def write_set(*arguments):
        seen.extend(path.name for path in tmp_path.rglob("*") if path.is_file())
        return set_folder.write_set(*arguments)

    monkeypatch.setattr(install, "write_set", write_set)
    installer.install("2stems")
    assert sorted(seen) == [DATA_FILE, INDEX_FILE]


class TestWhereOnlyTheArchiveIsKnown:
    """Of the five official stems nobody has published the sums of the files."""

    @pytest.fixture
    def installer(self, tmp_path, archive, site):
        architecture = replace(tiny.ARCHITECTURE, masks="softmax")
        releases = {"2stems": release("2stems", architecture, tiny.sha256(archive))}
        library = Library(tmp_path / "data", tmp_path / "cache", tmp_path / "bundled", releases)
        return Installer(library, url=site.url, retry_delay_s=0)

    @pytest.mark.parametrize("way", ["download", "archive"])
    def test_the_archive_vouches_for_them(self, installer, archive, way):
        found = installer.install("2stems", archive if way == "archive" else None)
        assert (found.masks, found.manifest.provenance.verified) == ("softmax", True)
        assert all(read_weights(path)[0].masks == "softmax" for path in found.paths.values())

    def test_files_on_their_own_cannot_be_verified(self, installer, checkpoint_dir):
        with pytest.raises(ModelError, match="of 2stems only the archive can be verified; give 2s"):
            installer.install("2stems", checkpoint_dir)
        found = installer.install("2stems", checkpoint_dir, allow_unverified=True)
        assert not found.manifest.provenance.verified

    def test_a_set_with_other_masks_is_refused(self, installer, checkpoint_dir):
        found = installer.install("2stems", checkpoint_dir, allow_unverified=True)
        told = json.loads((found.folder / MANIFEST).read_text())
        (found.folder / MANIFEST).write_text(json.dumps(told | {"masks": "sigmoid"}))
        with pytest.raises(ModelError, match="names the masks sigmoid, expected softmax; run"):
            installer._library.find("2stems")


def test_an_unknown_name_is_refused(installer, tmp_path):
    with pytest.raises(
        ModelError, match="no networks named '6stems' can be installed; known are 2stems"
    ):
        installer.install("6stems")
    assert files_in(tmp_path) == []


def test_the_environment_names_a_mirror(library, site, monkeypatch):
    monkeypatch.setenv("STEMD_MODELS_URL", f"{site.url}/mirror/")
    Installer(library).install("2stems")
    assert site.asked == [("/mirror/2stems.tar.gz", None)]


def test_a_mirror_that_nothing_can_be_fetched_from_is_told(library, monkeypatch):
    monkeypatch.setenv("STEMD_MODELS_URL", "ftp://mirror")
    with pytest.raises(ModelError, match=r"STEMD_MODELS_URL is ftp://mirror, and must .*--from"):
        Installer(library).install("2stems")


def test_the_official_release_is_the_default(library, monkeypatch):
    monkeypatch.delenv("STEMD_MODELS_URL", raising=False)
    asked = []

    def download(url, *_):
        asked.append(url)
        raise ModelError("no network in tests")

    monkeypatch.setattr(install, "download", download)
    with pytest.raises(ModelError):
        Installer(library).install("2stems")
    assert asked == ["https://github.com/deezer/spleeter/releases/download/v1.4.0/2stems.tar.gz"]


class TestRefusals:
    """Each gets one line, and leaves nothing."""

    @pytest.fixture(autouse=True)
    def nothing_left(self, tmp_path):
        before = files_in(tmp_path)
        yield
        assert [path for path in files_in(tmp_path) if path.startswith("data")] == before

    def test_a_download_of_another_hash(self, installer, site, archive):
        site.content = archive.read_bytes()[:-1]
        with pytest.raises(ModelError, match=r"content has sha256 \w{64}, expected \w{64}; it was"):
            installer.install("2stems")

    def test_a_download_is_verified_even_if_that_is_waived(self, installer, site):
        site.content = b"other"
        with pytest.raises(ModelError, match="has sha256"):
            installer.install("2stems", allow_unverified=True)

    def test_a_download_that_breaks_for_good(self, installer, site):
        site.plan = ["no ranges cut 10"] * 100
        with pytest.raises(ModelError, match="the connection broke"):
            installer.install("2stems")

    def test_a_download_that_is_not_there(self, installer, site):
        site.plan = ["404"]
        with pytest.raises(ModelError, match=r"^http.*/2stems\.tar\.gz: the server answers 404"):
            installer.install("2stems")

    def test_an_archive_of_another_hash(self, installer, other_checkpoint_dir, tmp_path_factory):
        path = tmp_path_factory.mktemp("other") / "2stems.tar.gz"
        tiny.write_archive(path, other_checkpoint_dir)
        with pytest.raises(
            ModelError, match=r"2stems\.tar\.gz: has sha256 \w+, expected \w+; it is not"
        ):
            installer.install("2stems", path)

    @pytest.mark.parametrize("name", [DATA_FILE, INDEX_FILE])
    def test_a_folder_of_another_hash(self, installer, checkpoint_dir, tmp_path_factory, name):
        folder = tmp_path_factory.mktemp("copy")
        shutil.copytree(checkpoint_dir, folder, dirs_exist_ok=True)
        with (folder / name).open("ab") as file:
            file.write(b"x")
        with pytest.raises(
            ModelError, match=rf"{name}: has sha256 \w+, expected .* --allow-unverif"
        ):
            installer.install("2stems", folder)

    @pytest.mark.parametrize("waived", [False, True])
    def test_a_folder_without_checkpoint(self, installer, tmp_path_factory, waived):
        folder = tmp_path_factory.mktemp("empty")
        with pytest.raises(
            ModelError, match=r"No such file or directory; a checkpoint's folder holds"
        ):
            installer.install("2stems", folder, waived)

    def test_a_source_that_is_not_there(self, installer, tmp_path_factory):
        with pytest.raises(
            ModelError, match=r"none: No such file or directory; --from takes an archive"
        ):
            installer.install("2stems", tmp_path_factory.mktemp("x") / "none")

    def test_a_cut_archive(self, installer, archive, tmp_path_factory):
        path = tmp_path_factory.mktemp("cut") / "2stems.tar.gz"
        path.write_bytes(archive.read_bytes()[:-100])
        with pytest.raises(ModelError, match=r"is not a \.tar\.gz archive or is damaged"):
            installer.install("2stems", path, allow_unverified=True)

    def test_a_checkpoint_of_another_architecture(self, installer, tmp_path_factory):
        folder = tiny.write_checkpoint(tmp_path_factory.mktemp("four"), tiny.variables(stems=4))
        with pytest.raises(ModelError, match="networks for more than 2 stems"):
            installer.install("2stems", folder, allow_unverified=True)

    def test_a_second_network_that_cannot_be_converted(self, installer, tmp_path_factory):
        v = tiny.variables()
        v["conv2d_7/bias"][0] = float("nan")
        folder = tiny.write_checkpoint(tmp_path_factory.mktemp("nan"), v)
        with pytest.raises(ModelError, match="conv2d_7/bias: has numbers that are not finite"):
            installer.install("2stems", folder, allow_unverified=True)

    def test_an_archive_that_is_broken_off(self, installer, archive, tmp_path_factory):
        cut = tmp_path_factory.mktemp("cut") / "2stems.tar.gz"
        cut.write_bytes(archive.read_bytes()[:-100])
        with pytest.raises(ModelError, match="the archive is broken off; fetch it again"):
            installer.install("2stems", cut)

    def test_a_source_that_cannot_be_looked_at(self, installer, tmp_path_factory):
        with pytest.raises(ModelError, match=r"nnn: File name too long; --from takes an archive"):
            installer.install("2stems", tmp_path_factory.mktemp("x") / ("n" * 300))

    @pytest.mark.parametrize("stop", STOPS)
    def test_a_download_that_is_stopped(self, installer, monkeypatch, stop):
        def stopped(download, chunk):
            download._file.write(chunk[:100])
            raise stop

        monkeypatch.setattr("stemd.tflite_models.store.download._Download._write", stopped)
        with pytest.raises(type(stop)):
            installer.install("2stems")

    @pytest.mark.parametrize("step", [0, 1, 2])
    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (
                OSError(errno.ENOSPC, "No space left"),
                "the disk is full; make room, or set XDG_DATA_HOME",
            ),
            (
                OSError(errno.EROFS, "Read-only"),
                "Read-only; make the folder writable, or set XDG_DATA_",
            ),
            (OSError(errno.EIO, "Input/output error"), "installing 2stems: Input/output error"),
        ],
    )
    def test_a_failure_at_any_step(
        self, installer, checkpoint_dir, monkeypatch, step, error, message
    ):
        fail_at(monkeypatch, step, error)
        with pytest.raises(ModelError, match=message):
            installer.install("2stems", checkpoint_dir)

    @pytest.mark.parametrize("step", [0, 1, 2])
    @pytest.mark.parametrize("stop", STOPS)
    def test_a_stop_at_any_step(self, installer, checkpoint_dir, monkeypatch, step, stop):
        fail_at(monkeypatch, step, stop)
        with pytest.raises(type(stop)):
            installer.install("2stems", checkpoint_dir)

    def test_a_damaged_archive_is_named_with_its_member(
        self, installer, checkpoint_dir, tmp_path_factory
    ):
        folder = tmp_path_factory.mktemp("bad")
        shutil.copytree(checkpoint_dir, folder, dirs_exist_ok=True)
        (folder / INDEX_FILE).write_bytes(b"<html>")
        path = tiny.write_archive(folder / "mine.tar.gz", folder)
        with pytest.raises(ModelError, match=rf"^{path}/model\.index: does not end as"):
            installer.install("2stems", path, allow_unverified=True)


def fail_at(monkeypatch, step, error):
    """Let the file written as number `step` (graph, graph, manifest) fail half-way."""
    written = []
    fsync = os.fsync

    def failing(descriptor):
        written.append(descriptor)
        # Each file is synced, then its folder.
        if len(written) == 2 * step + 1:
            raise error
        fsync(descriptor)

    monkeypatch.setattr(files.os, "fsync", failing)


def test_a_data_folder_that_cannot_be_made_is_told(installer, tmp_path, checkpoint_dir):
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(
        ModelError, match=r"installing 2stems: .*data.*: (Not a directory|File exists)"
    ):
        installer.install("2stems", checkpoint_dir)


def test_unverified_weights_are_taken_if_that_is_waived_and_marked(installer, other_checkpoint_dir):
    found = installer.install("2stems", other_checkpoint_dir, allow_unverified=True)
    provenance = found.manifest.provenance
    assert not provenance.verified
    assert provenance.checkpoint[DATA_FILE] == tiny.sha256(other_checkpoint_dir / DATA_FILE)
    assert read_weights(found.paths["vocals"])[1]["provenance"]["verified"] is False


def test_official_weights_are_verified_even_if_that_is_waived(installer, checkpoint_dir):
    found = installer.install("2stems", checkpoint_dir, allow_unverified=True)
    assert found.manifest.provenance.verified


def test_a_set_is_replaced(installer, installed, other_checkpoint_dir):
    old = weights(installer._library.find("2stems"))
    found = installer.install("2stems", other_checkpoint_dir, allow_unverified=True)
    assert not set(weights(found).values()) & set(old.values())
    assert_only_the_set(installed.parent)


def test_installing_again_repairs_a_damaged_set(installer, installed, checkpoint_dir):
    for path in installed.iterdir():
        path.write_bytes(b"damaged")
    assert installer.install("2stems", checkpoint_dir).origin == "installed"
    assert_only_the_set(installed.parent)


@pytest.mark.parametrize("step", [0, 1, 2])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), *STOPS])
def test_a_failed_replacement_leaves_the_old_set(
    installer, installed, other_checkpoint_dir, monkeypatch, step, error
):
    old = weights(installer._library.find("2stems"))
    fail_at(monkeypatch, step, error)
    with pytest.raises((ModelError, type(error))):
        installer.install("2stems", other_checkpoint_dir, allow_unverified=True)
    assert weights(installer._library.find("2stems")) == old
    assert_only_the_set(installed.parent)


KILLED = """
import os, signal, sys
from pathlib import Path
from stemd.tflite_models import files
from stemd.tflite_models.store.install import Installer
from stemd.tflite_models.store.library import Library
from stemd.tflite_models.spleeter.releases import release
from stemd.tflite_models.spleeter.architecture import Activations, Architecture

calls, fsync = [], os.fsync
def killing(descriptor):
    calls.append(descriptor)
    if len(calls) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(descriptor)
files.os.fsync = killing
architecture = Architecture(("vocals", "accompaniment"), Activations("leaky_relu", "relu"), FILTERS)
official = dict.fromkeys(("model.data-00000-of-00001", "model.index"), "0" * 64)
official_set = release("2stems", architecture, "0" * 64, official)
library = Library(Path(sys.argv[1]), None, None, {"2stems": official_set})
Installer(library).install("2stems", Path(sys.argv[2]), allow_unverified=True)
"""


@pytest.mark.parametrize("moment", range(1, 7))
def test_a_killed_replacement_leaves_the_old_set_or_the_new(
    installer, installed, checkpoint_dir, other_checkpoint_dir, moment
):
    """Each of three files is synced, then its folder: six moments to die at."""
    old = weights(installer._library.find("2stems"))
    program = KILLED.replace("FILTERS", repr(tiny.FILTERS))
    data, source = installed.parents[1], other_checkpoint_dir
    died = subprocess.run([sys.executable, "-c", program, data, source, str(moment)])
    assert died.returncode == -9
    found = weights(installer._library.find("2stems"))
    assert (found == old) == (moment < 6), "the manifest is renamed before the last sync"
    installer.install("2stems", checkpoint_dir)
    assert_only_the_set(installed.parent)


def test_what_a_crash_left_is_removed_by_the_next_install(installer, installed, checkpoint_dir):
    stale = installed.parent / ".install-gone"
    stale.mkdir()
    (stale / DATA_FILE).write_text("half")
    (installed / ".part-abc").write_text("half")
    (installed / "vocals-0123456789ab.tflite").write_text("of a set that never was")
    installer.install("2stems", checkpoint_dir)
    assert_only_the_set(installed.parent)


def test_a_file_of_the_user_s_own_is_left_alone(installer, installed, checkpoint_dir):
    (installed / "notes.txt").write_text("mine")
    installer.install("2stems", checkpoint_dir)
    assert (installed / "notes.txt").read_text() == "mine"


def test_two_installs_do_not_meet(installer, installed, checkpoint_dir):
    busy = pytest.raises(ModelError, match="another stemd is at work there; wait for it")
    with files.locked(installed.parent, wait=False), busy:
        installer.install("2stems", checkpoint_dir)
    installer.install("2stems", checkpoint_dir)


def test_a_damaged_manifest_does_not_cost_the_graphs(
    installer, installed, checkpoint_dir, monkeypatch
):
    (installed / MANIFEST).write_text("{")
    before = files_in(installed)
    fail_at(monkeypatch, 0, OSError(errno.ENOSPC, "full"))
    with pytest.raises(ModelError):
        installer.install("2stems", checkpoint_dir)
    assert files_in(installed) == before


FILLING = """
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.store.install import Installer
from stemd.tflite_models.store.library import Library
from stemd.tflite_models.spleeter.releases import release
from stemd.tflite_models.spleeter.architecture import Activations, Architecture

architecture = Architecture(("vocals", "accompaniment"), Activations("leaky_relu", "relu"), FILTERS)
library = Library(folder / "data", None, None, {"2stems": release("2stems", architecture, *HASHES)})
for kib in range(4, 400, 4):
    limit(kib)
    try:
        Installer(library, url=sys.argv[2]).install("2stems")
    except ModelError as error:
        print(f"{kib} {error}")
        left = [str(path) for path in folder.rglob("*")]
        assert not left, left
    else:
        print("installed")
        break
"""


def test_a_full_disk_of_any_size_leaves_nothing(site, release, tmp_path):
    """From a disk that holds nothing to the first that holds all: each fails at another point."""
    hashes = repr((release.archive_sha256, dict(release.checkpoint_sha256)))
    program = FILLING.replace("FILTERS", repr(tiny.FILTERS)).replace("HASHES", hashes)
    *failures, last = small_disk.run(tmp_path / "disk", program, site.url).splitlines()
    assert last == "installed"
    assert len(failures) >= 3
    for failure in failures:
        assert "installing 2stems: " in failure
        assert "the disk is full; make room, or set XDG_DATA_HOME to a folder elsewhere" in failure


def test_the_bundle_refuses_another_checkpoint(other_checkpoint_dir, tmp_path):
    from stemd.tflite_models.store.bundle import build

    with pytest.raises(
        ModelError, match="is not the official 2stems checkpoint; nothing is bundled"
    ):
        build(other_checkpoint_dir, tmp_path)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "usage: python -m stemd.tflite_models.store.bundle CHECKPOINT_DIR [OUT_DIR]\n"),
        (["a", "b", "c"], 2, "usage: "),
        (["none"], 1, "bundle: none/model.data-00000-of-00001: No such file or directory; "),
    ],
)
def test_the_bundle_tells_what_is_wrong_in_a_line(capsys, arguments, status, message):
    from stemd.tflite_models.store.bundle import main

    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_library_of_the_real_releases_knows_all():
    assert Library().names == ("2stems", "4stems", "5stems", "4stems-stemd")
    assert set_folder.MANIFEST == MANIFEST
