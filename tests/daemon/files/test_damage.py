"""What is missing in a song is told in few words, with its place and its length."""

from stemd.daemon.files.damage import Damage, DamageReport


def report(*places: tuple[int, int]) -> DamageReport:
    found = DamageReport(1000)
    for place in places:
        found.note(*place)
    return found


def test_places_and_lengths_are_told():
    assert str(report((2_980, 210))) == "0.21 s are missing at 0:02.98"
    assert str(report((65_000, 0))) == "an unknown length is missing at 1:05.00"
    assert str(report((0, 9), (5_000, 20))) == (
        "0.01 s are missing at 0:00.00, 0.02 s are missing at 0:05.00"
    )


def test_damage_that_is_near_is_one():
    assert list(report((1_000, 0), (1_900, 50), (2_000, 50))) == [Damage(1_900, 100)]
    assert list(report((1_000, 0), (1_900, 0))) == [Damage(1_000, 0)]
    assert len(report((1_000, 0), (4_001, 0))) == 2


def test_of_many_places_some_are_named():
    text = str(report(*((place * 9_000, 1) for place in range(20))))
    assert text.count("missing") == 5
    assert text.endswith(", and 15 more")
