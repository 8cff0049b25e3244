"""Which set is used, what damage is found, and what becomes of derived graphs."""

import errno
import json
import os
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest

import tiny_model as tiny
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.families import family_of, releases
from stemd.tflite_models.graphs.spec import GraphSpec
from stemd.tflite_models.network import Network
from stemd.tflite_models.store import sets
from stemd.tflite_models.store.install import Installer
from stemd.tflite_models.store.library import Library
from stemd.tflite_models.store.manifest import MANIFEST

SPEC = GraphSpec(T=64, B=8, A=8)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def first_graph(folder):
    return next(folder.glob("vocals*.tflite"))


def test_the_bundled_networks_are_here_whole_and_official():
    library = Library()
    for found in library.verify("2stems"):
        assert found.stems == ("vocals", "accompaniment")
    bundled = found
    assert bundled.origin == "bundled"
    assert bundled.precision == "fp16"
    assert bundled.manifest.provenance.verified
    assert bundled.manifest.provenance.checkpoint == releases()["2stems"].checkpoint_sha256
    assert [path.name for path in bundled.paths.values()] == [
        "vocals.tflite",
        "accompaniment.tflite",
    ]
    network = Network(bundled.paths["vocals"])
    assert (network.T, network.B) == (128, 128)


def test_a_bundled_set_is_found(library, bundled):
    found = library.find("2stems")
    assert (found.origin, found.folder, found.precision) == ("bundled", bundled, "fp16")


def test_an_installed_set_hides_the_bundled_one(library, bundled, installed):
    found = library.find("2stems")
    assert (found.origin, found.folder, found.precision) == ("installed", installed, "fp32")
    assert [copy.origin for copy in library.verify("2stems")] == ["installed", "bundled"]


def test_stems_are_in_order(library, installed):
    found = library.find("2stems")
    assert found.stems == tuple(found.paths) == tuple(found.graphs(SPEC)) == tiny.STEMS


def test_an_unknown_name_is_refused(library):
    with pytest.raises(ModelError, match=r"no networks named '3stems'; known are 2stems"):
        library.find("3stems")


def test_a_missing_set_says_how_to_get_it(library):
    with pytest.raises(
        ModelError,
        match=r"2stems networks are not installed: run `stemd models install 2stems` "
        r"\(installed or bundled: none",
    ):
        library.find("2stems")


def named_anew(folder, name):
    """Copy a set under another name; return its folder."""
    copy = shutil.copytree(folder, folder.with_name(name))
    told = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps(told | {"name": name}))
    return copy


def test_sets_with_the_same_stems_lie_side_by_side(library, bundled, installed):
    mine, theirs = named_anew(installed, "mine"), named_anew(bundled, "theirs")
    assert library.names == ("2stems", "mine", "theirs")
    for name, origin, folder in (("mine", "installed", mine), ("theirs", "bundled", theirs)):
        found = library.find(name)
        assert (found.origin, found.folder, found.stems) == (origin, folder, tiny.STEMS)
        assert [each.name for each in library.verify(name)] == [name]
    assert [(line.name, line.origin, line.problem) for line in library.list()] == [
        ("2stems", "installed", ""),
        ("2stems", "bundled", ""),
        ("mine", "installed", ""),
        ("theirs", "bundled", ""),
    ]
    assert not {*library.find("mine").graphs(SPEC).values()} & {
        *library.find("2stems").graphs(SPEC).values()
    }


@pytest.mark.parametrize(
    ("root", "remedy"),
    [
        ("installed", "run `stemd models remove mine`, or put it"),
        ("bundled", "install stemd again"),
    ],
)
def test_a_damaged_set_that_cannot_be_installed_is_told(request, library, root, remedy):
    folder = named_anew(request.getfixturevalue(root), "mine")
    (folder / MANIFEST).write_text("{")
    with pytest.raises(ModelError, match=f"manifest.json is damaged: .*; {remedy}"):
        library.find("mine")
    (line,) = (line for line in library.list() if line.name == "mine")
    assert (line.stems, remedy in line.problem) == ((), True)


def test_a_set_must_bear_its_folder_s_name(library, installed):
    shutil.copytree(installed, installed.with_name("mine"))
    with pytest.raises(ModelError, match="names the set 2stems, expected mine"):
        library.find("mine")


def test_only_released_sets_can_be_installed(library, installed):
    named_anew(installed, "mine")
    with pytest.raises(ModelError, match="no networks named 'mine' can be installed; known are 2s"):
        Installer(library).install("mine")
    assert Installer(library).remove("mine") == installed.with_name("mine")
    assert library.names == ("2stems",)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            flip,
            r"vocals-\w+\.tflite has sha256 \w{64}, expected \w{64}; run `stemd models install 2s",
        ),
        (
            lambda path: path.write_bytes(b"1"),
            r"is 1 bytes long, expected \d+; run `stemd models inst",
        ),
        (
            lambda path: path.unlink(),
            r"No such file or directory; expected a file of sha256 \w{64}; run",
        ),
    ],
)
def test_a_damaged_file_is_named_with_the_command_that_repairs_it(
    library, installed, damage, message
):
    damage(first_graph(installed))
    with pytest.raises(ModelError, match=message):
        library.find("2stems")


def test_a_damaged_bundled_set_can_be_replaced(library, bundled, checkpoint_dir):
    flip(bundled / "vocals.tflite")
    with pytest.raises(
        ModelError, match=r"run `stemd models install 2stems`, which takes its place"
    ):
        library.find("2stems")
    Installer(library).install("2stems", checkpoint_dir)
    assert library.find("2stems").origin == "installed"
    first, second = library.verify("2stems")
    assert first.origin == "installed"
    with pytest.raises(ModelError, match="bundled"):
        raise second


def test_of_a_damaged_installed_set_those_that_come_along_are_told(library, bundled, installed):
    first_graph(installed).write_bytes(b"")
    with pytest.raises(
        ModelError, match=r"install 2stems`, or `stemd models remove 2stems` to use the b"
    ):
        library.find("2stems")
    _, second = library.verify("2stems")
    assert second.origin == "bundled"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format=0), "its format is 0, expected 1; run"),
        (lambda m: m.pop("provenance"), "provenance: Field required; run"),
        (lambda m: m["files"][0].update(file="../x.tflite"), r"files\.0\.file: String should"),
        (lambda m: m["files"][0].update(set="../x"), r"files\.0\.set: String should match"),
        (lambda m: m["files"][0].update(sha256="0"), r"files\.0\.sha256: String should match"),
        (lambda m: m["files"].reverse(), "names the stems accompaniment, vocals, expected vocals"),
        (lambda m: m.update(files=[]), "names the stems none, expected vocals, accompaniment; run"),
    ],
)  # fmt: skip
def test_a_damaged_manifest_is_refused(library, installed, change, message):
    manifest = json.loads((installed / MANIFEST).read_text())
    change(manifest)
    (installed / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=message):
        library.find("2stems")


def test_keys_of_a_later_version_stay_in_a_manifest_and_do_no_harm(library, installed):
    manifest = json.loads((installed / MANIFEST).read_text())
    for part in (manifest, manifest["provenance"], manifest["files"][0]):
        part["later"] = 1
    (installed / MANIFEST).write_text(json.dumps(manifest))
    found = library.find("2stems")
    assert json.loads(found.manifest.to_json()) == manifest
    assert found.graphs(SPEC) == library.find("2stems").graphs(SPEC)
    assert found._cached(found.graphs(SPEC)["vocals"].parent, SPEC) is not None


def test_a_manifest_of_a_later_format_is_not_called_damaged(library, bundled, installed):
    manifest = json.loads((installed / MANIFEST).read_text())
    (installed / MANIFEST).write_text(json.dumps(manifest | {"format": 2, "files": 3}))
    with pytest.raises(ModelError, match="was written by a later stemd") as caught:
        library.find("2stems")
    assert "damaged" not in str(caught.value)
    assert "remove" not in str(caught.value)
    assert library.list()[0].problem == str(caught.value)


def test_a_manifest_that_is_no_json_is_refused(library, installed):
    (installed / MANIFEST).write_text("{")
    with pytest.raises(ModelError, match=r"manifest\.json is damaged: text: Invalid JSON.*; run"):
        library.find("2stems")


def test_a_folder_without_manifest_is_no_set(library, bundled, installed):
    (installed / MANIFEST).unlink()
    assert library.find("2stems").origin == "bundled"


def test_the_list_shows_what_is_here_and_what_could_be(library, bundled, installed):
    lines = library.list()
    assert [(line.origin, line.in_use, line.problem) for line in lines] == [
        ("installed", True, ""),
        ("bundled", False, ""),
    ]
    (bundled / "vocals.tflite").unlink()
    (installed / MANIFEST).write_text("")
    lines = library.list()
    assert "manifest.json is damaged" in lines[0].problem
    assert "vocals.tflite: No such file" in lines[1].problem


def test_the_list_shows_what_is_not_here(library):
    (line,) = library.list()
    assert (line.name, line.stems, line.origin, line.in_use) == ("2stems", tiny.STEMS, None, False)


def test_a_stem_may_be_another_sets_file(library, fine_tuned, magnitudes):
    found = library.find("2stems")
    assert found.stems == tiny.STEMS
    assert found.paths["vocals"] == fine_tuned.parent / "base" / "vocals.tflite"
    out = np.zeros((8, 1024, 2), np.float32)
    for path in found.graphs(SPEC).values():
        Network(path)(magnitudes, out)
        assert b'"steps": 8' in path.read_bytes()  # as it says of itself
    flip(fine_tuned.parent / "base" / "vocals.tflite")
    with pytest.raises(ModelError, match=r"base/vocals\.tflite has sha256 "):
        library.find("2stems")


def test_fine_tuned_networks_are_listed_with_figures_of_their_own(library, fine_tuned):
    ours, base = library.list()
    assert (ours.origin, ours.in_use, ours.figures.sdr_db["vocals"]) == ("bundled", True, 1.25)
    assert (base.name, base.problem, base.figures) == ("base", "", None)


def test_an_installed_set_wins_over_a_fine_tuned_one_of_its_name(
    library, fine_tuned, checkpoint_dir
):
    Installer(library).install("2stems", checkpoint_dir)
    assert library.find("2stems").manifest.training is None
    two = [line for line in library.list() if line.name == "2stems"]
    assert [(line.origin, line.in_use) for line in two] == [
        ("installed", True),
        ("bundled", False),
    ]


def test_official_networks_have_the_published_figures(library, installed, monkeypatch, release):
    published = replace(release, musdb18_sdr_db={"vocals": 6.5})
    monkeypatch.setattr(library, "_releases", {"2stems": published})
    (line,) = library.list()
    assert (line.figures.of, line.figures.sdr_db) == ("MUSDB18", {"vocals": 6.5})


def test_networks_that_were_not_verified_have_none_of_them(
    library, other_checkpoint_dir, monkeypatch, release
):
    Installer(library).install("2stems", other_checkpoint_dir, allow_unverified=True)
    published = replace(release, musdb18_sdr_db={"vocals": 6.5})
    monkeypatch.setattr(library, "_releases", {"2stems": published})
    (line,) = library.list()
    assert (line.manifest.provenance.verified, line.figures) == (False, None)


def test_derived_graphs_run(library, installed, magnitudes):
    graphs = library.find("2stems").graphs(SPEC)
    outs = {stem: np.zeros((8, 1024, 2), np.float32) for stem in graphs}
    for stem, path in graphs.items():
        network = Network(path)
        assert (network.T, network.B) == (64, 8)
        network(magnitudes, outs[stem])
    assert not np.array_equal(outs["vocals"], outs["accompaniment"])


def test_graphs_are_derived_once(library, installed, monkeypatch):
    first = library.find("2stems").graphs(SPEC)
    monkeypatch.setattr(type(family_of("spleeter")), "compile", None)
    assert library.find("2stems").graphs(SPEC) == first


def test_the_plain_files_are_read_where_graphs_are_made_of_them(library, installed):
    """At most starts they are not: to check them all takes half a second."""
    found = library.find("2stems", deep=False)
    graphs = found.graphs(SPEC)
    plain = found.paths["vocals"]
    flip(plain)
    assert library.find("2stems", deep=False).graphs(SPEC) == graphs
    for path in graphs.values():
        path.unlink()
    with pytest.raises(ModelError, match=r"vocals.*\.tflite has sha256 .*; run `stemd models inst"):
        library.find("2stems", deep=False).graphs(SPEC)
    plain.unlink()
    with pytest.raises(ModelError, match=r"vocals.*\.tflite: No such file"):
        library.find("2stems", deep=False)


@pytest.mark.parametrize(
    "spec",
    [GraphSpec(128, 8, 8), GraphSpec(64, 4, 8), GraphSpec(64, 8, 4), GraphSpec(64, 8, 8, 8)],
    ids=str,
)
def test_every_number_of_the_spec_counts(library, installed, spec):
    found = library.find("2stems")
    first, second = found.graphs(SPEC), found.graphs(spec)
    assert not set(first.values()) & set(second.values())


def test_other_weights_or_another_writer_give_other_graphs(
    library, installed, other_checkpoint_dir, monkeypatch
):
    first = library.find("2stems").graphs(SPEC)["vocals"]
    monkeypatch.setattr(family_of("spleeter"), "compiled_version", 0)
    second = library.find("2stems").graphs(SPEC)["vocals"]
    Installer(library).install("2stems", other_checkpoint_dir, allow_unverified=True)
    third = library.find("2stems").graphs(SPEC)["vocals"]
    assert len({first.parent, second.parent, third.parent}) == 3
    assert first.read_bytes() != third.read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: flip(first_graph(folder)),
        lambda folder: first_graph(folder).write_bytes(b""),
        lambda folder: first_graph(folder).unlink(),
        lambda folder: (folder / MANIFEST).unlink(),
        lambda folder: (folder / MANIFEST).write_text("{}"),
        lambda folder: (folder / ".part-xyz").write_text("half"),
    ],
)
def test_a_damaged_cache_is_rebuilt(library, installed, damage):
    first = library.find("2stems").graphs(SPEC)
    contents = {stem: path.read_bytes() for stem, path in first.items()}
    damage(first["vocals"].parent)
    second = library.find("2stems").graphs(SPEC)
    assert second == first
    assert {stem: path.read_bytes() for stem, path in second.items()} == contents


def test_a_bit_of_a_cached_manifest_counts_or_changes_nothing(library, installed):
    """Whichever bit flips: the set is derived anew, or the manifest says what it said."""
    found = library.find("2stems")
    folder = found.graphs(SPEC)["vocals"].parent
    manifest, right = folder / MANIFEST, found._cached(folder, SPEC)
    content = manifest.read_bytes()
    assert right is not None
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        manifest.write_bytes(damaged)
        assert found._cached(folder, SPEC) in (None, right), position


def exchange_stems(folder):
    """As by hand: the names in the manifest."""
    text = (folder / MANIFEST).read_text()
    told = json.loads(text)
    first, second = told["files"]
    first["stem"], second["stem"] = second["stem"], first["stem"]
    told["files"] = [second, first]
    (folder / MANIFEST).write_text(json.dumps(told))


def exchange_files(folder):
    """As by hand, and thoroughly: the files take each other's name, and the manifest knows it."""
    told = json.loads((folder / MANIFEST).read_text())
    first, second = told["files"]
    for key in ("bytes", "sha256"):
        first[key], second[key] = second[key], first[key]
    contents = [(folder / each["file"]).read_bytes() for each in (second, first)]
    for each, content in zip((first, second), contents, strict=True):
        each["file"] = f"{each['stem']}-{each['sha256'][:12]}.tflite"
        (folder / each["file"]).write_bytes(content)
    (folder / MANIFEST).write_text(json.dumps(told))


@pytest.mark.parametrize("exchange", [exchange_stems, exchange_files])
def test_stems_that_were_exchanged_in_the_cache_are_derived_anew(library, installed, exchange):
    first = library.find("2stems").graphs(SPEC)
    contents = {stem: path.read_bytes() for stem, path in first.items()}
    exchange(first["vocals"].parent)
    second = library.find("2stems").graphs(SPEC)
    assert {stem: path.read_bytes() for stem, path in second.items()} == contents


@pytest.mark.parametrize("exchange", [exchange_stems, exchange_files])
def test_stems_that_were_exchanged_in_a_set_are_told(library, installed, exchange):
    exchange(installed)
    with pytest.raises(ModelError, match=r"(holds the network of|names the stems) .*expected"):
        library.find("2stems").graphs(SPEC)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:4],
        lambda content: content[:100],
        lambda content: content[: len(content) // 2],
        lambda content: content[: len(content) * 99 // 100],
        lambda content: b"\x20\x00\x00\x00TFL3" + bytes(100),
        lambda content: content.replace(b"encoder_activation", b"encoder_activatiom"),
    ],
)
def test_a_file_that_is_no_network_of_the_family_is_an_error(library, installed, damage):
    found, path = library.find("2stems"), first_graph(installed)
    path.write_bytes(damage(path.read_bytes()))
    expected = (
        rf"{path}: is not a network of the spleeter family that stemd wrote, or is damaged; "
        "run `stemd models install 2stems`"
    )
    with pytest.raises(ModelError, match=expected):
        list(found.write_graphs(SPEC))
    path.unlink()
    with pytest.raises(ModelError, match=rf"{path}: No such file or directory; run"):
        list(found.write_graphs(SPEC))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("name", "../../2stems", r"names the set \.\./\.\./2stems, expected 2stems"),
        ("precision", "fp31", "names the precision fp31, expected fp32"),
        ("graph", "T64-B64-A0-m0-fp32", "names the graph T64-.*, expected T128-B128-A0-m0-fp32"),
    ],
)
def test_a_set_whose_manifest_is_of_another_is_told(library, installed, key, value, said):
    told = json.loads((installed / MANIFEST).read_text())
    (installed / MANIFEST).write_text(json.dumps(told | {key: value}))
    with pytest.raises(ModelError, match=said):
        library.find("2stems")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.parametrize("which", [MANIFEST, "graph"])
def test_what_is_no_file_in_a_set_is_told_at_once(library, installed, make, which):
    path = first_graph(installed) if which == "graph" else installed / which
    path.unlink()
    make(path)
    with pytest.raises(ModelError, match="2stems"):
        library.find("2stems")


def test_daemons_that_start_together_derive_once(library, installed, monkeypatch):
    written = []
    family = type(family_of("spleeter"))
    compile_graph = family.compile
    monkeypatch.setattr(family, "compile", lambda *args: written.append(1) or compile_graph(*args))
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(library.find("2stems").graphs(SPEC)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == len(tiny.STEMS)
    assert results == [results[0]] * 4


def test_the_longest_unused_graphs_are_forgotten(library, installed, monkeypatch):
    monkeypatch.setattr(sets, "CACHED_SPECS", 3)
    found = library.find("2stems")
    specs = [GraphSpec(64, b) for b in (1, 2, 3, 4)]
    graphs = [found.graphs(spec)["vocals"] for spec in specs[:3]]
    for graph in graphs:
        os.utime(graph.parent, (0, 0))
    found.graphs(specs[0])  # used again, hence younger than the others
    found.graphs(specs[2])
    graphs.append(found.graphs(specs[3])["vocals"])
    assert [graph.exists() for graph in graphs] == [True, False, True, True]


def test_a_cache_that_cannot_be_written_serves_what_it_has(library, installed, monkeypatch):
    first = library.find("2stems").graphs(SPEC)

    def read_only(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    for call in ("utime", "mkdir", "rmdir", "unlink"):
        monkeypatch.setattr(f"os.{call}", read_only)
    monkeypatch.setattr(sets, "locked", read_only)
    assert library.find("2stems").graphs(SPEC) == first


def test_graphs_that_cannot_be_forgotten_do_no_harm(library, installed, monkeypatch):
    def forbidden(*_):
        raise PermissionError

    monkeypatch.setattr(sets, "_forget_unused", forbidden)
    assert library.find("2stems").graphs(SPEC)


def test_a_cache_that_cannot_be_made_is_told(library, installed, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(
        ModelError, match=r"deriving the graphs of 2stems: .*cache.*: Not a directory"
    ):
        library.find("2stems").graphs(SPEC)


def test_export_writes_what_the_daemon_runs(library, installed, tmp_path):
    out = tmp_path / "new" / "folder"
    exported = library.export("2stems", SPEC, out)
    assert exported == {stem: out / f"{stem}.tflite" for stem in tiny.STEMS}
    for stem, path in library.find("2stems").graphs(SPEC).items():
        assert exported[stem].read_bytes() == path.read_bytes()
        assert exported[stem].stat().st_mode & 0o777 == 0o644, "others may not read it"
    assert sorted(path.name for path in out.iterdir()) == ["accompaniment.tflite", "vocals.tflite"]


def test_an_export_that_cannot_be_written_is_told(library, installed, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ModelError, match=r"exporting 2stems: .*taken: File exists"):
        library.export("2stems", SPEC, tmp_path / "taken")


def test_a_failed_export_leaves_nothing_half_written(library, installed, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(
        ModelError,
        match=r"2stems: the disk is full; make room, or set -o .*; vocals\.tflite takes 0\.\d MB",
    ):
        library.export("2stems", SPEC, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("ask", ["find", "verify", "list"])
def test_a_data_folder_behind_a_closed_door_is_told(release, bundled, ask, closed):
    """What is installed there is not known, hence the bundled set does not stand in."""
    library = Library(closed, closed, bundled.parent, {"2stems": release})
    with pytest.raises(
        ModelError,
        match=r"closed/models: Permission denied; make it readable, or set XDG_DATA_HOME",
    ):
        getattr(library, ask)(*[] if ask == "list" else ["2stems"])


@pytest.mark.parametrize("depth", [1, 2])
def test_networks_behind_a_link_that_leads_nowhere_are_not_passed_over(
    release, bundled, tmp_path, depth
):
    data = tmp_path / "data"
    folder = data / "models" / "2stems"
    link = (folder, *folder.parents)[depth]
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(tmp_path / "gone")
    library = Library(data, tmp_path / "cache", bundled.parent, {"2stems": release})
    for ask in (library.list, lambda: library.find("2stems")):
        with pytest.raises(ModelError, match=f"{link} is a link to {tmp_path}/gone, which is"):
            ask()


@pytest.mark.parametrize("name", ["2stems", "another"])
def test_a_set_behind_a_link_that_leads_nowhere_is_listed_and_can_be_removed(
    release, bundled, tmp_path, name
):
    link = tmp_path / "data" / "models" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "gone")
    library = Library(tmp_path / "data", tmp_path / "cache", bundled.parent, {"2stems": release})
    broken = f"{link} is a link to {tmp_path}/gone, which is missing"
    with pytest.raises(ModelError, match=broken):
        library.find(name)
    assert any(broken in line.problem for line in library.list() if line.name == name)
    if name == "another":
        assert library.find("2stems").origin == "bundled", "it is no concern of other sets"
    assert Installer(library).remove(name) == link
    assert not os.path.lexists(link)
    assert library.find("2stems").origin == "bundled"


def test_a_user_without_home_is_told(monkeypatch):
    def unknown(_):
        raise KeyError

    for variable in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(ModelError, match=r"no home folder .*set HOME, or XDG_DATA_HOME and XDG_C"):
        Library()


@pytest.mark.parametrize(
    ("variable", "part"), [("XDG_DATA_HOME", "models"), ("XDG_CACHE_HOME", "graphs")]
)
def test_the_folders_of_the_user_are_honoured(monkeypatch, tmp_path, variable, part):
    monkeypatch.setenv(variable, str(tmp_path))
    library = Library()
    where = (
        library.installed_dir("2stems") if part == "models" else library.find("2stems").cache_dir
    )
    assert where.is_relative_to(tmp_path / "stemd" / part)
