"""The table of weights: every package counts once."""

from zipfile import ZIP_DEFLATED, ZipFile

from benchmarks import weight
from benchmarks.weight import Weight


def test_a_wheel_weighs_what_it_holds(tmp_path):
    path = tmp_path / "package-1.0-py3-none-any.whl"
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(5000))
        archive.writestr("b/c", bytes(3000))
    assert weight._weight_of(path) == Weight(path.stat().st_size, 8000)


def test_light_packages_share_a_row_and_all_are_added():
    found = {
        "one": {"heavy": Weight(10**6, 3 * 10**6), "a": Weight(10**5, 2 * 10**5)},
        "other": {
            "heavy": Weight(2 * 10**6, 4 * 10**6),
            "a": Weight(10**5, 10**5),
            "b": Weight(10**5, 3 * 10**5),
        },
    }
    rows = weight.table(found).splitlines()[2:]
    assert rows == [
        "| heavy | 1.0 MB | 3.0 MB | 2.0 MB | 4.0 MB |",
        "| 2 others | 0.1 MB | 0.2 MB | 0.2 MB | 0.4 MB |",
        "| all of it | 1.1 MB | 3.2 MB | 2.2 MB | 4.4 MB |",
    ]
