"""What is rendered, sung and recorded is kept by what it is made of; one's own is looked over."""

import io
import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import mido
import numpy as np
import pytest
import soundfile

from research.material import voices
from research.material.mixes import RECIPES
from research.training import fonts as fonts_module
from research.training import recordings, render, singers, tracks
from research.training.errors import TrainingError
from research.training.fonts import FONTS, SoundFont
from research.training.songs import PARTS, Note, Song
from research.training.tracks import PEAK, RECORDING, STEMS, keep, read_list, read_own, write_list
from stemd.dsp.scheme import SAMPLERATE


def noise(seconds=0.1, level=0.5, seed=1):
    samples = np.random.default_rng(seed).uniform(-1, 1, (round(seconds * SAMPLERATE), 2))
    samples[0] = 1
    return (level * samples).astype(np.float32)


def test_what_is_kept_is_as_loud_as_can_be_and_made_once(tmp_path):
    made = []

    def make():
        made.append(1)
        return noise(level=0.25)

    first, again = (keep(tmp_path, "kind", ["this"], make) for _ in range(2))
    assert first == again
    assert made == [1]
    samples, _ = soundfile.read(tmp_path / first.file)
    assert np.abs(samples).max() == pytest.approx(PEAK, abs=1e-3)
    np.testing.assert_allclose(samples * first.gain, noise(level=0.25), atol=1e-4)


def test_what_is_made_of_something_else_is_made_anew(tmp_path):
    files = [keep(tmp_path, "kind", of, noise).file for of in (["a"], ["b"], ["a", "b"], ["ab"])]
    assert len(set(files)) == 4


def test_what_is_gone_is_made_anew(tmp_path):
    kept = keep(tmp_path, "kind", ["this"], noise)
    (tmp_path / kept.file).unlink()
    assert keep(tmp_path, "kind", ["this"], noise) == kept
    assert (tmp_path / kept.file).exists()


@pytest.mark.parametrize("note", ["", "[]", '{"file": "x"}'])
def test_a_track_whose_note_is_damaged_is_made_anew(tmp_path, note):
    kept = keep(tmp_path, "kind", ["this"], noise)
    (tmp_path / kept.file).with_suffix(".json").write_text(note)
    assert keep(tmp_path, "kind", ["this"], noise) == kept


@pytest.mark.parametrize("damage", ["", '[{"file": "a.fl', '[{"file": "a.flac"}]'])
def test_a_damaged_list_is_said(tmp_path, damage):
    (tmp_path / "tracks.json").write_text(damage)
    with pytest.raises(voices.MaterialError, match=r"tracks.json is damaged.*ARGS=material"):
        read_list(tmp_path / "tracks.json")


def test_a_list_of_files_that_are_gone_is_said(tmp_path):
    listed = [tracks.Track("tracks/a.flac", "train", "noise", "one", "drums", 1.0, "0" * 64)]
    write_list(tmp_path / "tracks.json", listed)
    with pytest.raises(voices.MaterialError, match=r"names tracks/a.flac, .*ARGS=material"):
        read_list(tmp_path / "tracks.json")


def test_silence_is_not_kept_nor_made_again(tmp_path):
    made = []

    def make():
        made.append(1)
        return np.zeros((100, 2), np.float32)

    assert keep(tmp_path, "kind", ["this"], make) is None
    assert keep(tmp_path, "kind", ["this"], make) is None
    assert made == [1]


def test_a_file_that_was_not_finished_is_made_again(tmp_path):
    file = tmp_path / keep(tmp_path, "kind", ["this"], noise).file
    whole = file.read_bytes()
    file.write_bytes(b"half")
    file.with_suffix(".json").unlink()
    keep(tmp_path, "kind", ["this"], noise)
    assert file.read_bytes() == whole


def test_a_file_is_whole_whenever_it_is_there(tmp_path, monkeypatch):
    def broken(path, samples, *_, **__):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(tracks.soundfile, "write", broken)
    with pytest.raises(OSError, match="disk full"):
        keep(tmp_path, "kind", ["this"], noise)
    assert [path.name for path in tmp_path.rglob("*")] == ["kind"]


@pytest.fixture
def fonts(tmp_path, monkeypatch):
    """One to learn from and one to be tested with, which are empty, and play noise."""
    chosen = [font for font in FONTS if font.name in ("fluid", "musescore")]
    root = tmp_path / "package"
    for font in chosen:
        path = root / "usr/share/sounds" / font.file
        path.parent.mkdir(parents=True)
        path.write_text(font.name)
    made = [replace(font) for font in chosen]
    monkeypatch.setattr(fonts_module, "unpacked", lambda _: root)
    monkeypatch.setattr(render, "FONTS", made)
    monkeypatch.setattr(SoundFont, "made_by", ("1.0",))
    return made


@pytest.fixture
def rendered(monkeypatch):
    """Counts what is rendered."""
    made = []

    def play(font, midi):
        made.append(font.name)
        return noise(seed=len(midi))

    monkeypatch.setattr(Song, "parts", lambda _: {part: [] for part in PARTS})
    monkeypatch.setattr(SoundFont, "play", play)
    return made


SONGS = [Song("p/learnt", "f" * 64, b""), Song("p/tested", "0" * 64, b"")]


def test_all_songs_are_rendered_once_through_the_fonts_of_their_split(tmp_path, fonts, rendered):
    tracks = render.render_all(SONGS, tmp_path)
    assert tracks == read_list(tmp_path / "tracks.json")
    assert {(track.song, track.split, track.player) for track in tracks} == {
        ("p/learnt", "train", "fluid"),
        ("p/tested", "test", "musescore"),
    }
    assert {track.stem for track in tracks} == set(STEMS[1:])
    count = len(rendered)
    assert render.render_all(SONGS, tmp_path) == tracks
    assert len(rendered) == count


def test_what_sounds_the_same_counts_once(tmp_path, fonts, rendered):
    render.FONTS.append(replace(render.FONTS[0], name="likewise"))
    heard = [(track.song, track.stem, track.sha256) for track in render.render_all(SONGS, tmp_path)]
    assert len(heard) == len(set(heard))


def test_other_instruments_play_through_as_many_fonts():
    learnt = [Song(f"p/{n}", f"{n:x}f", b"") for n in range(20)]
    casts = [each for each in render.performances(learnt) if each.cast]
    assert len(casts) > len(learnt) * len(PARTS)
    assert len({(each.song, each.part, each.font) for each in casts}) == len(casts)


@pytest.mark.parametrize("changed", ["font", "program", "length", "notes"])
def test_what_would_sound_otherwise_is_rendered_anew(
    tmp_path, fonts, rendered, monkeypatch, changed
):
    before = {track.file for track in render.render_all(SONGS, tmp_path)}
    match changed:
        case "font":
            for font in fonts:
                font.path.write_text("another")
            monkeypatch.setattr(render, "FONTS", [replace(font) for font in fonts])
        case "program":
            monkeypatch.setattr(SoundFont, "made_by", ("1.1",))
        case "length":
            monkeypatch.setattr(render, "SECONDS", 46.0)
        case "notes":
            note = Note(1.0, mido.Message("note_on", note=60))
            monkeypatch.setattr(Song, "parts", lambda _: {part: [note] for part in PARTS})
    assert not before & {track.file for track in render.render_all(SONGS, tmp_path)}


def test_voices_are_told_apart_by_split_and_made_once(tmp_path, monkeypatch):
    made = []

    def perform(voice):
        made.append(voice)
        return noise(0.1)[:, 0]

    monkeypatch.setattr(voices.Speaker, "perform", perform)
    monkeypatch.setattr(voices.Singer, "perform", perform)
    monkeypatch.setattr(singers, "programs", lambda: "1.0")
    tracks = singers.perform_all(tmp_path)
    assert tracks == read_list(tmp_path / "voices.json") == singers.perform_all(tmp_path)
    assert len(made) == len(tracks) == len(singers.performers())
    assert {track.stem for track in tracks} == {"vocals"}
    by_split = {
        split: {track.song for track in tracks if track.split == split}
        for split in ("train", "validation")
    }
    assert all(by_split.values())
    assert not by_split["train"] & by_split["validation"]
    for kind in ("speaks", "sings"):
        assert {any(name.startswith(kind) for name in names) for names in by_split.values()} == {
            True
        }


def test_another_length_of_voices_is_performed_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(voices.Speaker, "perform", lambda _: noise()[:, 0])
    monkeypatch.setattr(voices.Singer, "perform", lambda _: noise()[:, 0])
    monkeypatch.setattr(singers, "programs", lambda: "1.0")
    before = {track.file for track in singers.perform_all(tmp_path)}
    monkeypatch.setattr(singers, "SECONDS", 0.05)
    assert not before & {track.file for track in singers.perform_all(tmp_path)}


def test_voices_are_the_same_on_every_machine():
    told = sha256(repr(singers.performers()).encode()).hexdigest()
    assert told == "e94a3754f8f352ce2f3d3296bc7d1c7a1293055ab3064920d8d87bbaf3dd801f"


def test_whose_voices_were_heard_is_told():
    text = (Path(__file__).parents[3] / "THIRD-PARTY.md").read_text()
    heard = {voice.voice for voice in singers.performers().values() if hasattr(voice, "score")}
    packages = {"espeak-ng-data", *(voices.FESTIVAL_VOICES[voice] for voice in heard)}
    assert len(packages) > 1
    assert [name for name in packages if f"| {name} |" not in text] == []


def test_no_voice_of_the_figures_is_learnt_from():
    def who(voice):
        return voice.voice.split("+")[-1]  # of espeak-ng's, the variant

    measured = {who(recipe.voice) for recipe in RECIPES}
    assert measured
    assert not measured & {who(voice) for voice in singers.performers().values()}


def ogg(seconds=3.0, rate=22_050, seed=1):
    file = io.BytesIO()
    samples = np.resize(noise(1, seed=seed), (round(seconds * rate), 2))
    soundfile.write(file, samples, rate, format="OGG")
    return file.getvalue()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of music, of which two seconds are cut from the second one on."""
    monkeypatch.setattr(recordings, "unpacked", lambda package: tmp_path / package)
    monkeypatch.setattr(recordings, "version", lambda _: "1")
    monkeypatch.setattr(recordings, "PACKAGES", ("music",))
    monkeypatch.setattr(recordings, "START_S", 1)
    monkeypatch.setattr(recordings, "SECONDS", 2)
    (tmp_path / "music" / "deep").mkdir(parents=True)
    return tmp_path / "music"


def test_recordings_are_cut_where_they_are_long_enough(package, tmp_path):
    (package / "long.ogg").write_bytes(ogg())
    (package / "deep/short.ogg").write_bytes(ogg(2.9, 44_100))
    (package / "readme.txt").write_text("x")
    (track,) = recordings.record_all(tmp_path)
    assert (track.song, track.player, track.stem) == ("music/long.ogg", RECORDING, "other")
    assert soundfile.info(tmp_path / track.file).frames == 2 * SAMPLERATE


def test_recordings_are_found_in_archives_too(package, tmp_path):
    with ZipFile(package / "data.pk3", "w") as archive:
        archive.writestr("sound/cdtracks/piece.ogg", ogg())
        archive.writestr("maps/readme.txt", "x")
    (track,) = recordings.record_all(tmp_path)
    assert track.song == "music/data.pk3/sound/cdtracks/piece.ogg"


def test_files_of_one_piece_are_heard_together(package, tmp_path):
    for seed, part in enumerate(("guitar", "rhythm", "song")):
        (package / "deep" / f"{part}.ogg").write_bytes(ogg(rate=44_100, seed=seed))
    (together,) = recordings.record_all(tmp_path)
    assert together.song == "music/deep"
    sounds = [
        soundfile.read(package / "deep" / f"{part}.ogg")[0] for part in ("guitar", "rhythm", "song")
    ]
    cut, _ = soundfile.read(tmp_path / together.file)
    whole = sum(sounds)[SAMPLERATE:]
    assert np.corrcoef(cut[:, 0], whole[:, 0])[0, 1] > 0.999


def test_a_package_without_music_is_said(package, tmp_path):
    (package / "short.ogg").write_bytes(ogg(2.9))
    with pytest.raises(voices.MaterialError, match=r"no piece of 3 s in music 1; leave it out"):
        recordings.record_all(tmp_path)


OWN = {"file": "mine/drums.flac", "split": "train", "song": "mine", "stem": "drums"}


@pytest.fixture
def own(tmp_path):
    """Writes a list of one's own tracks, with a file that is as it must be."""
    (tmp_path / "mine").mkdir()
    soundfile.write(tmp_path / OWN["file"], noise(), SAMPLERATE)

    def write(*tracks):
        (tmp_path / "own.json").write_text(json.dumps(tracks))
        return tmp_path

    return write


def test_tracks_of_ones_own_are_taken(own):
    (track,) = read_own(own(OWN))
    assert (track.file, track.stem, track.gain) == (OWN["file"], "drums", 1.0)
    assert len(track.sha256) == 64


def test_tracks_of_one_song_are_of_one_length(own, tmp_path):
    soundfile.write(tmp_path / "mine/bass.flac", noise(0.2), SAMPLERATE)
    with pytest.raises(TrainingError, match=r"bass.flac has 8820 frames, and another .*has 4410"):
        read_own(own(OWN, {**OWN, "file": "mine/bass.flac", "stem": "bass"}))


def test_a_song_is_learnt_from_or_held_out(own, tmp_path):
    shutil.copy(tmp_path / OWN["file"], tmp_path / "mine/bass.flac")
    other = {**OWN, "file": "mine/bass.flac", "stem": "bass", "split": "test"}
    with pytest.raises(TrainingError, match=r"own.json: .* for train and for test, .*one split"):
        read_own(own(OWN, other))


def test_what_is_learnt_from_is_not_held_out_under_another_name(own, tmp_path):
    shutil.copy(tmp_path / OWN["file"], tmp_path / "mine/same.flac")
    same = {**OWN, "file": "mine/same.flac", "song": "another"}
    assert len(read_own(own(OWN, same))) == 2
    with pytest.raises(TrainingError, match=r"same.flac sounds like .*for train, .* for test: "):
        read_own(own(OWN, {**same, "split": "test"}))
    for file in (OWN["file"], same["file"]):
        soundfile.write(tmp_path / file, 0 * noise(), SAMPLERATE)
    assert len(read_own(own(OWN, {**same, "split": "test"}))) == 2


def test_a_song_has_one_track_of_each_stem(own, tmp_path):
    soundfile.write(tmp_path / "mine/more.flac", noise(), SAMPLERATE)
    with pytest.raises(TrainingError, match=r"mine has two tracks of drums, .*: add them up"):
        read_own(own(OWN, {**OWN, "file": "mine/more.flac"}))


def test_without_tracks_of_ones_own_there_are_none(tmp_path):
    assert read_own(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stem": "drum"}, "own.json: 0.stem: .*'drum'"),
        ({"split": "training"}, "own.json: 0.split: "),
        ({"gain": 0}, "own.json: 0.gain: "),
        ({"gain": float("inf")}, "own.json: 0.gain: "),
        ({"volume": 1}, "own.json: 0.volume: "),
        ({"file": "mine/none.flac"}, "cannot read .*none.flac: .*; mend or leave it out"),
    ],
)
def test_what_is_wrong_with_ones_own_is_said(own, change, said):
    with pytest.raises(TrainingError, match=said) as told:
        read_own(own({**OWN, **change}))
    assert "\n" not in str(told.value)


def test_a_list_that_is_no_json_is_not_told_whole(tmp_path):
    (tmp_path / "own.json").write_text('[{"file": "a.flac" "split": "train"}]' * 100)
    with pytest.raises(TrainingError, match=r"own.json: text: .*column 20.* \(got .*…\)") as told:
        read_own(tmp_path)
    assert len(str(told.value)) < 400


def test_ones_own_must_be_at_the_networks_rate(own, tmp_path):
    soundfile.write(tmp_path / OWN["file"], noise(), 48_000)
    with pytest.raises(
        TrainingError, match="2 channels at 48000 Hz, and must have 1 or 2 at 44100"
    ):
        read_own(own(OWN))


@pytest.mark.parametrize(
    ("voice", "package"),
    [("kal_diphone", "festvox-kallpc16k"), ("ked_diphone", "festvox-kdlpc16k")],
)
def test_without_a_voice_its_own_package_is_named(monkeypatch, voice, package):
    monkeypatch.setattr(voices, "_run", lambda *_: "")
    with pytest.raises(voices.MaterialError, match=package):
        voices.Singer("la:A4:1", 100, voice).perform()
