"""Faders, mutes and solos as on a desk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stemd.daemon.control.mixer import MAX_DB, OFF_DB, Mixer, Strip

STEMS = ("vocals", "drums", "bass", "other")

strips = st.builds(Strip, gain=st.floats(OFF_DB, MAX_DB), mute=st.booleans(), solo=st.booleans())


def levels_of(mixer: Mixer, stems=STEMS) -> dict[str, float]:
    heard: dict[str, float] = {}
    mixer.attach(stems, heard.__setitem__)
    return heard


def test_everything_is_heard_as_it_is_at_first():
    assert levels_of(Mixer([])) == dict.fromkeys(STEMS, 1.0)


@given(st.fixed_dictionaries(dict.fromkeys(STEMS, strips)))
def test_a_stem_is_heard_unless_muted_or_another_is_soloed(desk):
    heard = levels_of(Mixer(desk.items()))
    soloed = {stem for stem, strip in desk.items() if strip.solo}
    for stem, strip in desk.items():
        wanted = not strip.mute and strip.gain > OFF_DB and (not soloed or stem in soloed)
        assert heard[stem] == (pytest.approx(10 ** (strip.gain / 20)) if wanted else 0)


def test_what_is_left_out_stays():
    mixer = Mixer([("bass", Strip(gain=-3, mute=True))])
    heard = levels_of(mixer)
    assert mixer.set("bass", mute=False) == Strip(gain=-3)
    assert heard["bass"] == pytest.approx(0.7079, abs=1e-4)


def test_a_solo_silences_the_others_at_once_and_gives_them_back():
    mixer = Mixer([("drums", Strip(gain=-6))])
    heard = levels_of(mixer)
    before = dict(heard)
    mixer.set("vocals", solo=True)
    assert heard == {"vocals": 1, "drums": 0, "bass": 0, "other": 0}
    mixer.set("vocals", solo=False)
    assert heard == before


def test_a_solo_of_a_stem_that_there_is_not_silences_none():
    assert levels_of(Mixer([("drums", Strip(solo=True))]), ("vocals", "accompaniment")) == {
        "vocals": 1,
        "accompaniment": 1,
    }


def test_a_stem_that_there_is_not_cannot_be_set_and_comes_back_as_it_was():
    mixer = Mixer([])
    levels_of(mixer)
    mixer.set("drums", gain=-12.0)
    levels_of(mixer, ("vocals", "accompaniment"))
    with pytest.raises(KeyError):
        mixer.set("drums", gain=0.0)
    assert mixer.strips().keys() == {"vocals", "accompaniment"}
    assert levels_of(mixer)["drums"] == pytest.approx(10 ** (-12 / 20))


@pytest.mark.parametrize("gain", [MAX_DB + 1, OFF_DB - 1, float("nan"), float("-inf")])
def test_gains_have_their_limits(gain):
    with pytest.raises(ValidationError):
        Strip(gain=gain)


@pytest.mark.parametrize("gain", [False, "off", OFF_DB])
def test_off_is_silence_however_yaml_reads_it(gain):
    assert Strip(gain=gain).gain == OFF_DB


@pytest.mark.parametrize("wrong", [{"gain": True}, {"gain": "loud"}, {"mute": 1}, {"solo": "on"}])
def test_what_only_looks_like_a_setting_is_refused(wrong):
    with pytest.raises(ValidationError):
        Strip(**wrong)
