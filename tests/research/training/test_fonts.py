"""Drums sound when they are struck, and whatever plays is told by its version."""

import shutil
import subprocess
from dataclasses import replace
from random import Random

import mido
import numpy as np
import pytest
import soundfile

from research.material import voices
from research.training import fonts
from research.training.drumkits import FADE_S, kit_in, strike
from research.training.errors import TrainingError
from research.training.fonts import FONTS, DrumKit, Patches, SoundFont
from research.training.render import midi_of
from research.training.songs import Note
from stemd.dsp.scheme import SAMPLERATE

KICK, CLOSED, OPEN = 36, 42, 46
SECOND = SAMPLERATE
LONG = 4 * SECOND


def struck(*notes):
    """Notes as (seconds, note, velocity)."""
    return midi_of(
        [
            Note(at, mido.Message("note_on", channel=9, note=note, velocity=velocity))
            for at, note, velocity in notes
        ]
    )


@pytest.fixture
def folder(tmp_path):
    """A kit of steady sounds, each as loud as what is in its name says."""
    for name, level in (("soft", 0.1), ("loud", 0.4), ("open", 0.2)):
        soundfile.write(tmp_path / f"{name}.wav", np.full(2 * SECOND, level), SAMPLERATE, "FLOAT")
    soundfile.write(tmp_path / "closed.wav", np.full((100, 2), 0.5), SAMPLERATE, "FLOAT")
    (tmp_path / "drumkit.xml").write_text("""\
<drumkit_info xmlns="http://www.hydrogen-music.org/drumkit">
  <instrumentList>
    <instrument>
      <name>Big Kick</name><volume>0.5</volume>
      <layer><filename>loud.wav</filename><min>0.5</min><max>1</max><gain>1</gain></layer>
      <layer><filename>soft.wav</filename><min>0</min><max>0.5</max><gain>2</gain></layer>
    </instrument>
    <instrument><name>Hat Closed</name><filename>closed.wav</filename></instrument>
    <instrument><name>Open HH</name>
      <layer><filename>open.wav</filename><min>0</min><max>1</max></layer></instrument>
    <instrument><name>Snare</name>
      <layer><filename>missing.wav</filename><max>1</max></layer></instrument>
    <instrument><name>17</name></instrument>
  </instrumentList>
</drumkit_info>""")
    return tmp_path


def test_the_users_own_settings_are_not_heard(monkeypatch, tmp_path):
    for name, value in (("HOME", str(tmp_path)), ("LC_ALL", "de_DE.UTF-8")):
        monkeypatch.setenv(name, value)
    said = voices._run(["sh", "-c", 'echo "$HOME $LC_ALL"'], "dash")
    assert said == "/dev/null C.UTF-8\n"
    soundfile.write(tmp_path / "x.wav", np.ones((10, 2)) / 2, 44_100)
    script = f'test "$HOME" = /dev/null && cp {tmp_path / "x.wav"} part.wav'
    assert fonts._played(b"", ["sh", "-c", script], tmp_path)[:10].all()


def test_a_drum_sounds_from_where_it_is_struck(folder):
    out = strike(struck((1.0, KICK, 127)), kit_in(folder), LONG)
    assert out.shape == (LONG, 2)
    assert not out[:SECOND].any()
    np.testing.assert_allclose(out[SECOND : 3 * SECOND], 0.4 * 0.5, atol=1e-6)
    assert not out[3 * SECOND :].any()


def test_how_hard_it_is_struck_chooses_the_sample_and_its_level(folder):
    out = strike(struck((0.0, KICK, 32), (2.5, KICK, 96)), kit_in(folder), LONG)
    assert out[0] == pytest.approx(0.1 * 2 * 0.5 * 32 / 127)
    assert out[-1] == pytest.approx(0.4 * 0.5 * 96 / 127)


def test_strokes_add_up(folder):
    kit, dice = kit_in(folder), Random(1)
    notes = [(dice.uniform(0, 4), KICK, dice.randrange(1, 128)) for _ in range(5)]
    together = strike(struck(*sorted(notes)), kit, LONG)
    alone = sum(strike(struck(note), kit, LONG) for note in notes)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_hi_hat_that_is_closed_is_heard_no_more(folder):
    out = strike(struck((0.0, OPEN, 127), (1.0, CLOSED, 1)), kit_in(folder), LONG)
    assert out[SECOND - 1] == pytest.approx(0.2, abs=1e-3)
    after = SECOND + round(FADE_S * SAMPLERATE) + 100
    assert not out[after:].any()
    before = strike(struck((0.5, CLOSED, 1), (1.0, OPEN, 127)), kit_in(folder), LONG)
    assert before[2 * SECOND] == pytest.approx(0.2, abs=1e-3)


def test_drums_that_a_kit_has_not_are_silent(folder):
    assert set(kit_in(folder)) == {35, KICK, CLOSED, OPEN}
    assert not strike(struck((0.0, 38, 127)), kit_in(folder), LONG).any()


def test_a_kit_without_drums_is_refused(folder):
    text = (folder / "drumkit.xml").read_text()
    for name in ("Kick", "Closed", "Open"):
        text = text.replace(name, "Djembe")
    (folder / "drumkit.xml").write_text(text)
    with pytest.raises(TrainingError, match=r"names no drum .*Big Djembe.*: add a name"):
        kit_in(folder)


def test_a_font_that_is_a_folder_is_told_by_all_that_is_in_it(folder, monkeypatch):
    monkeypatch.setattr(fonts, "unpacked", lambda _: folder.parent)
    monkeypatch.setattr(DrumKit, "FOLDER", ".")
    kit = DrumKit("kit", "package", folder.name, ("train",), "MIT")
    before = kit.sha256
    assert replace(kit).sha256 == before
    (folder / "soft.wav").rename(folder / "softer.wav")
    renamed = replace(kit).sha256
    (folder / "loud.wav").write_bytes(b"")
    assert len({before, renamed, replace(kit).sha256}) == 3


def test_every_font_has_a_name_of_its_own_and_some_are_held_out():
    assert len({font.name for font in FONTS}) == len(FONTS)
    for split in ("train", "validation", "test"):
        assert {part for font in FONTS if split in font.splits for part in font.parts} == {
            "drums",
            "bass",
            "other",
        }


SOUND_FONT = SoundFont("font", "package", "font.sf2", ("train",), "MIT")
PATCHES = Patches("patches", "package", "patches", ("train",), "MIT")


@pytest.fixture
def patches(tmp_path, monkeypatch):
    """A list that tells which patch is which."""
    monkeypatch.setattr(fonts, "unpacked", lambda _: tmp_path)
    (tmp_path / "list.cfg").write_text("dir /usr/share/midi/freepats\n\nbank 0\n")
    monkeypatch.setattr(Patches, "CONFIG", "list.cfg")


@pytest.mark.parametrize(
    ("font", "package"), [(SOUND_FONT, "fluidsynth"), (PATCHES, "wildmidi")], ids=str
)
def test_without_a_synthesizer_the_remedy_is_named(monkeypatch, patches, font, package):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(voices.MaterialError, match=f"apt-get install {package}"):
        font.made_by  # noqa: B018


FLUIDSYNTH = """\
FluidSynth runtime version 2.3.1
Copyright (C) 2000-2022 Peter Hanappe and others.
Distributed under the LGPL license.
SoundFont(R) is a registered trademark of Creative Technology Ltd.

FluidSynth executable version 2.3.1
Sample type=double
"""
WILDMIDI = """\

WildMidi 0.4.3 Open Source Midi Sequencer
Copyright (C) WildMIDI Developers 2001-2016
"""


@pytest.mark.parametrize(
    ("font", "text", "version"),
    [(SOUND_FONT, FLUIDSYNTH, "FluidSynth 2.3.1"), (PATCHES, WILDMIDI, "WildMidi 0.4.3")],
    ids=["fluidsynth", "wildmidi"],
)
def test_a_synthesizer_is_told_by_its_version(monkeypatch, patches, font, text, version):
    def says(text):
        told = subprocess.CompletedProcess([], 0, text)
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: told)

    monkeypatch.setattr(shutil, "which", lambda program: program)
    says(text)
    assert font.made_by[0] == version
    says("Sample type=double")
    with pytest.raises(voices.MaterialError, match=r"names no version .*; install another"):
        font.made_by  # noqa: B018


def test_patches_are_told_by_their_list_too(monkeypatch, patches, tmp_path):
    monkeypatch.setattr(fonts, "_version", lambda *_: "1.0")
    before = PATCHES.made_by
    (tmp_path / "list.cfg").write_text("another")
    assert PATCHES.made_by != before


@pytest.mark.parametrize(
    ("font", "given"),
    [
        (SOUND_FONT, {}),
        (PATCHES, {"patches.cfg": "dir {folder}/usr/share/midi/patches\n\nbank 0\n"}),
    ],
    ids=["fluidsynth", "wildmidi"],
)
def test_what_a_synthesizer_writes_is_as_long_as_all_others(
    monkeypatch, patches, tmp_path, font, given
):
    ran = []

    def run(command, cwd, stdin, **_):
        ran.append({path.name: path.read_bytes() for path in cwd.iterdir()})
        assert stdin == subprocess.DEVNULL, "nobody types"
        soundfile.write(cwd / "part.wav", np.full((SECOND, 2), 0.5), SAMPLERATE)
        return subprocess.CompletedProcess(command, 0, b"", b"")

    monkeypatch.setattr(subprocess, "run", run)
    midi = struck((0.0, KICK, 100))
    out = font.play(midi)
    assert out.shape == (round(fonts.SECONDS * SAMPLERATE), 2)
    assert np.allclose(out[:SECOND], 0.5, atol=1e-4)
    assert not out[SECOND:].any()
    texts = {name: text.format(folder=tmp_path).encode() for name, text in given.items()}
    assert ran == [{"part.mid": midi, **texts}]


@pytest.mark.parametrize("font", [SOUND_FONT, PATCHES], ids=str)
@pytest.mark.parametrize(
    "done",
    [(1, b"", b"cannot\nread"), (0, b"Skipping: cannot read", b"")],
    ids=["by its code", "by what it says"],
)
def test_a_synthesizer_that_fails_is_named_with_its_reason(monkeypatch, patches, font, done):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], *done))
    with pytest.raises(voices.MaterialError, match=r"failed on .*: .*cannot read.*; delete"):
        font.play(struck((0.0, KICK, 100)))
