"""Archives are not trusted: named members only, as ordinary files, once each."""

import gzip
import io
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tiny_model as tiny
from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.spleeter.releases import DATA_FILE, INDEX_FILE
from stemd.tflite_models.store.archive import extract, is_broken_off

NAMES = (DATA_FILE, INDEX_FILE)


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "a" / "out"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def pack(tmp_path):
    """Make an archive of members given as (name, content or TarInfo)."""

    def pack(*members):
        path = tmp_path / "2stems.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            for name, content in members:
                if isinstance(content, bytes):
                    tiny.add_member(tar, name, content)
                else:
                    content.name = name
                    tar.addfile(content)
        return path

    return pack


def link(target, kind=tarfile.SYMTYPE):
    member = tarfile.TarInfo()
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize("prefix", ["", "./", "2stems/", "./2stems/"])
def test_the_named_members_come_out_and_nothing_else(pack, out, prefix):
    archive = pack(
        (f"{prefix}._model.index", b"a Mac was here"),
        (f"{prefix}{DATA_FILE}", b"data"),
        (f"{prefix}model.meta", b"meta"),
        (f"{prefix}{INDEX_FILE}", b"index"),
        ("../evil", b"evil"),
        ("/tmp/evil", b"evil"),
    )
    extract(archive, NAMES, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        DATA_FILE: b"data",
        INDEX_FILE: b"index",
    }
    assert sorted(path.name for path in out.parent.iterdir()) == ["out"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_a_link_is_refused(pack, out, kind):
    archive = pack((DATA_FILE, b"data"), (INDEX_FILE, link("/etc/passwd", kind)))
    with pytest.raises(
        ModelError, match=r"holds model\.index as something else than a file; it is"
    ):
        extract(archive, NAMES, out)


@pytest.mark.parametrize("second", [INDEX_FILE, f"./{INDEX_FILE}", f"2stems/{INDEX_FILE}"])
def test_a_member_twice_is_refused(pack, out, second):
    archive = pack((DATA_FILE, b""), (INDEX_FILE, b"one"), (second, b"two"))
    with pytest.raises(
        ModelError, match=r"holds model\.index twice; it is not an official archive"
    ):
        extract(archive, NAMES, out)


@pytest.mark.parametrize("name", [f"/{INDEX_FILE}", f"../{INDEX_FILE}", f"a/b/{INDEX_FILE}"])
def test_members_elsewhere_do_not_count(pack, out, name):
    archive = pack((DATA_FILE, b""), (name, b"index"))
    with pytest.raises(ModelError, match=r"holds no model\.index; it is not an official archive"):
        extract(archive, NAMES, out)


def test_what_is_no_archive_is_refused(tmp_path, out):
    path = tmp_path / "2stems.tar.gz"
    path.write_bytes(b"<html>")
    with pytest.raises(
        ModelError, match=r"2stems\.tar\.gz: is not a \.tar\.gz archive or is damaged"
    ):
        extract(path, NAMES, out)


def test_a_plain_tar_is_refused(tmp_path, out):
    path = tmp_path / "2stems.tar.gz"
    with tarfile.open(path, "w") as tar:
        tiny.add_member(tar, INDEX_FILE, b"index")
    with pytest.raises(ModelError, match=r"is not a \.tar\.gz archive or is damaged"):
        extract(path, NAMES, out)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.9999])
def test_a_cut_archive_is_refused(archive, tmp_path, out, part):
    path = tmp_path / "cut.tar.gz"
    data = archive.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(ModelError, match=r"cut\.tar\.gz: is not a \.tar\.gz archive or is damaged"):
        extract(path, NAMES, out)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.8])
def test_a_damaged_archive_is_refused(archive, tmp_path, out, part):
    path = tmp_path / "bad.tar.gz"
    data = bytearray(archive.read_bytes())
    data[int(part * len(data))] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"bad\.tar\.gz: is not a \.tar\.gz archive or is damaged"):
        extract(path, NAMES, out)


def sparse(size, version="1.0"):
    """A member that holds nothing and stands for so many zeros."""
    member = tarfile.TarInfo()
    member.pax_headers = {
        "GNU.sparse.major": version[0],
        "GNU.sparse.minor": version[2],
        "GNU.sparse.name": INDEX_FILE,
        "GNU.sparse.realsize": str(size),
        "GNU.sparse.size": str(size),
        "GNU.sparse.numblocks": "1",
        "GNU.sparse.map": f"{size},0",
    }
    return member


def pack_pax(path, *members, form=tarfile.PAX_FORMAT):
    with tarfile.open(path, "w:gz", format=form) as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("version", ["0.1", "1.0"])
def test_a_sparse_member_is_refused(tmp_path, out, version):
    member = sparse(32 << 30, version)
    member.name = INDEX_FILE
    content = f"1\n{32 << 30}\n0\n".encode().ljust(512, b"\0") if version == "1.0" else b""
    archive = pack_pax(tmp_path / "x.tar.gz", (member, content))
    with pytest.raises(ModelError, match=r"as something else than a file; it is not an official"):
        extract(archive, NAMES, out)
    assert sum(path.stat().st_size for path in out.iterdir()) == 0


@pytest.mark.parametrize("name", [DATA_FILE, "model.meta"])
def test_more_than_a_bound_is_not_unpacked(pack, out, name):
    archive = pack((name, bytes(3 << 20)), (INDEX_FILE, b"index"))
    with pytest.raises(ModelError, match=r"holds more than 2 MiB; it is not an official archive"):
        extract(archive, NAMES, out, most_bytes=2 << 20)
    assert sum(path.stat().st_size for path in out.iterdir()) <= 2 << 20


def test_more_than_a_bound_behind_the_archive_is_not_unpacked(archive, out):
    with gzip.open(archive, "ab") as more:
        more.write(bytes(3 << 20))
    with pytest.raises(ModelError, match=r"holds more than 2 MiB"):
        extract(archive, NAMES, out, most_bytes=2 << 20)


def test_very_many_entries_are_refused(pack, out):
    archive = pack(*((f"{number}", b"") for number in range(110)))
    with pytest.raises(ModelError, match="has more than 100 entries"):
        extract(archive, NAMES, out)


def long_pax_header():
    member = tarfile.TarInfo(INDEX_FILE)
    member.pax_headers = {"comment": "1" * (1 << 20)}
    return member, b"index"


def long_name():
    return tarfile.TarInfo("x" * (1 << 20)), b""


def long_sparse_map():
    member, pieces = sparse(1, "1.0"), 1 << 18
    for older in ("GNU.sparse.map", "GNU.sparse.size"):
        del member.pax_headers[older]
    return member, b"%d\n%b" % (pieces, b"0\n0\n" * pieces)


@pytest.mark.parametrize(
    ("make", "form"),
    [
        (long_pax_header, tarfile.PAX_FORMAT),
        (long_sparse_map, tarfile.PAX_FORMAT),
        (long_name, tarfile.PAX_FORMAT),
        (long_name, tarfile.GNU_FORMAT),
    ],
)
def test_an_entry_with_long_headers_is_refused_before_they_are_parsed(tmp_path, out, make, form):
    """Of a megabyte of digits tarfile makes an hour's work."""
    archive = pack_pax(tmp_path / "x.tar.gz", make(), form=form)
    with pytest.raises(ModelError, match=r"headers take more than 8 KiB; it is not an official"):
        extract(archive, NAMES, out)


HEADERS = ("GNU.sparse.map", "GNU.sparse.size", "GNU.sparse.major", "size", "mtime", "path", "uid")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    headers=st.dictionaries(st.sampled_from(HEADERS), st.text(st.characters(codec="utf-8"))),
    content=st.binary(max_size=40),
)
def test_any_pax_header_is_read_or_one_clear_line(tmp_path, headers, content):
    member = tarfile.TarInfo(INDEX_FILE)
    member.pax_headers = headers
    folder = tmp_path / "any"
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    try:
        extract(pack_pax(tmp_path / "any.tar.gz", (member, content)), [INDEX_FILE], folder)
    except ModelError as error:
        assert "\n" not in str(error)


def test_an_archive_that_is_broken_off_is_told_from_other_files(pack, tmp_path):
    archive = pack((DATA_FILE, bytes(9_000)), (INDEX_FILE, b"x" * 999))
    data = archive.read_bytes()
    for content, is_cut in (
        (data, False),
        *((data[:length], True) for length in (len(data) // 2, len(data) - 1)),
        (b"no archive", False),
        (data[:30] + b"\xff" * 9 + data[39:], False),
    ):
        archive.write_bytes(content)
        assert is_broken_off(archive) == is_cut
    assert not is_broken_off(tmp_path / "missing")
