"""A file instead of a port: right stems for every kind of song, or one clear line and no file."""

import errno
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import small_disk
from dsp_reference import separate as plain_separate
from songs import run_ffmpeg, write_noise
from stemd.daemon.errors import AudioFileError, ConfigError
from stemd.daemon.files import stem_file, stem_files
from stemd.daemon.files.separate import separate, wanted_files
from stemd.daemon.files.song import Song
from stemd.daemon.files.stem_files import Destination, origin_of, writing_stems
from stemd.dsp.mask_kinds import MaskExtension
from stemd.dsp.scheme import SPLEETER, Scheme
from two_networks import low_and_high

HOP_LENGTH = SPLEETER.hop_length
SCHEME = Scheme(T=64, B=5, A=3)


NETWORKS = low_and_high(SCHEME)


def noise(frames: int, channels: int = 2) -> np.ndarray:
    return 0.1 * np.random.default_rng(frames).standard_normal((channels, frames)).astype("f4")


def run(path: Path, folder: Path, scheme=SCHEME, networks=NETWORKS, files=None, **output):
    written = []

    def on_progress(*progress):
        written.append(progress)

    with Song(path) as song:
        separated = separate(
            song,
            Destination(folder, **output),
            networks,
            scheme,
            MaskExtension.MEAN,
            on_progress,
            files=files,
        )
        assert written[-1] == (separated.frames, song.expected)
        assert written == sorted(set(written))
    return separated


def stems_in(folder: Path, suffix: str = "wav") -> np.ndarray:
    """[shape=(stems, channels, frames)]"""
    names = [f"{stem}.{suffix}" for stem in NETWORKS]
    assert sorted(os.listdir(folder)) == sorted(names)
    return np.stack([soundfile.read(folder / name, dtype="float32")[0].T for name in names])


@pytest.mark.parametrize(
    "frames", [1, HOP_LENGTH - 1, HOP_LENGTH, 4095, 4096, 4097, 44_100, 70_001]
)
def test_stems_are_the_plain_computation_aligned_and_of_the_songs_length(frames, tmp_path):
    x = noise(frames)
    soundfile.write(tmp_path / "song.wav", x.T, 44_100, subtype="FLOAT")
    run(tmp_path / "song.wav", tmp_path / "stems")
    y = stems_in(tmp_path / "stems")
    assert y.shape == (2, 2, frames)
    padded = np.pad(x, ((0, 0), (HOP_LENGTH, 40 * HOP_LENGTH - frames % HOP_LENGTH)))
    expected = plain_separate(padded, list(NETWORKS.values()), SCHEME)
    expected = expected[:, HOP_LENGTH : HOP_LENGTH + frames].reshape(2, 2, -1)
    np.testing.assert_allclose(y, expected, atol=2e-6)


@pytest.mark.parametrize("samplerate", [1_000, 8_000, 22_050, 37_800, 48_000, 96_000, 768_000])
def test_stems_have_the_songs_rate_and_length_and_sum_to_it(samplerate, tmp_path):
    t = np.arange(samplerate) / samplerate
    low, high = min(0.1 * samplerate, 440), min(0.4 * samplerate, 10_000)
    x = np.stack([np.sin(2 * np.pi * low * t), np.sin(2 * np.pi * high * t)])
    x *= np.hanning(samplerate)
    soundfile.write(tmp_path / "song.wav", x.T, samplerate, subtype="FLOAT")
    run(tmp_path / "song.wav", tmp_path / "stems")
    y = stems_in(tmp_path / "stems")
    assert soundfile.info(tmp_path / "stems" / "vocals.wav").samplerate == samplerate
    assert y.shape == (2, *x.shape)
    assert 20 * np.log10(np.abs(y.sum(axis=0) - x).max()) < -60


def test_mono_is_heard_on_both_sides(tmp_path):
    x = noise(9_000, channels=1)
    soundfile.write(tmp_path / "song.wav", x.T, 44_100, subtype="FLOAT")
    run(tmp_path / "song.wav", tmp_path / "stems")
    y = stems_in(tmp_path / "stems")
    np.testing.assert_array_equal(y[:, 0], y[:, 1])
    np.testing.assert_allclose(y.sum(axis=0)[0], x[0], atol=1e-5)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_every_kind_of_file_is_read(suffix, tmp_path):
    soundfile.write(tmp_path / f"song.{suffix}", noise(30_000).T, 44_100)
    with Song(tmp_path / f"song.{suffix}") as song:
        x = np.concatenate(list(song.blocks()), axis=1)
    run(tmp_path / f"song.{suffix}", tmp_path / "stems")
    y = stems_in(tmp_path / "stems").sum(axis=0)
    assert y.shape == x.shape
    np.testing.assert_allclose(y, x, atol=1e-5)


@pytest.mark.parametrize(
    ("suffix", "subtype"), [("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_24")]
)
def test_every_kind_of_file_is_written(suffix, subtype, tmp_path):
    x = noise(30_000)
    soundfile.write(tmp_path / "song.wav", x.T, 44_100, subtype="FLOAT")
    separated = run(tmp_path / "song.wav", tmp_path / "stems", suffix=suffix, subtype=subtype)
    y = stems_in(tmp_path / "stems", suffix)
    np.testing.assert_allclose(y.sum(axis=0), x, atol=1e-5)
    assert soundfile.info(separated.files[0]).subtype == subtype
    umask = os.umask(0)
    os.umask(umask)
    assert separated.files[0].stat().st_mode & 0o777 == 0o666 & ~umask


def test_what_is_cut_at_full_scale_is_counted(tmp_path):
    x = 20 * noise(9_000)
    soundfile.write(tmp_path / "song.wav", x.T, 44_100, subtype="FLOAT")
    assert run(tmp_path / "song.wav", tmp_path / "a", subtype="PCM_24").clipped > 0
    assert run(tmp_path / "song.wav", tmp_path / "b", subtype="FLOAT").clipped == 0
    np.testing.assert_allclose(stems_in(tmp_path / "b").sum(axis=0), x, atol=1e-4)


def test_silence_gives_silence(tmp_path):
    soundfile.write(tmp_path / "song.wav", np.zeros((9_000, 2)), 44_100)
    run(tmp_path / "song.wav", tmp_path / "stems")
    assert not stems_in(tmp_path / "stems").any()


def test_stems_that_are_there_are_replaced_only_if_told(tmp_path):
    """They may be another song's: two albums have an 01.wav each."""
    for frames in (5_000, 9_000):
        soundfile.write(tmp_path / f"{frames}.wav", noise(frames).T, 44_100)
    run(tmp_path / "5000.wav", tmp_path / "stems")
    (tmp_path / "stems" / "vocals.wav").unlink()
    with pytest.raises(AudioFileError, match=r"accompaniment.wav is there already.*\(--force\)"):
        run(tmp_path / "9000.wav", tmp_path / "stems")
    assert os.listdir(tmp_path / "stems") == ["accompaniment.wav"]
    run(tmp_path / "9000.wav", tmp_path / "stems", may_replace=True)
    assert stems_in(tmp_path / "stems").shape[-1] == 9_000


def own(folder: Path, song: str = "01.wav, 99 bytes", settings: str = "exact", **more):
    return Destination(folder, song=song, settings=settings, **more)


def write_own(destination: Destination) -> None:
    with writing_stems(destination, ["vocals", "bass"], 44_100, 0) as files:
        for file in files:
            file.write(noise(99))


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "opus", "m4a"])
@pytest.mark.parametrize("samplerate", [44_100, 96_000])
def test_encoded_stems_have_the_songs_length_and_level(suffix, samplerate, tmp_path):
    write_noise(tmp_path / "song.wav", 1.5, samplerate)
    x = soundfile.read(tmp_path / "song.wav", dtype="float32")[0].T
    run(tmp_path / "song.wav", tmp_path / "stems", suffix=suffix)
    y = 0
    for stem in NETWORKS:
        with Song(tmp_path / "stems" / f"{stem}.{suffix}") as song:
            rate = song.samplerate
            y = y + np.concatenate(list(song.blocks()), axis=1)
            assert len(song.damage) == 0
    assert y.shape[1] / rate == pytest.approx(1.5, abs=1152 / rate)
    first, last = y[0, : rate // 2], y[0, rate // 2 : rate]
    for ours, theirs in (
        (first, x[0, : samplerate // 2]),
        (last, x[0, samplerate // 2 :][: samplerate // 2]),
    ):
        assert ours.std() == pytest.approx(theirs.std(), rel=0.15)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "opus", "m4a"])
def test_stems_of_the_same_song_are_replaced_and_those_of_another_are_not(suffix, tmp_path):
    more = {"suffix": suffix, "subtype": "PCM_24"}
    write_own(own(tmp_path, **more))
    write_own(own(tmp_path, settings="fast", **more))
    for other in ("01.wav, 98 bytes", "01.wav, 99 bytes;", ""):
        with pytest.raises(AudioFileError, match="is there already, perhaps of another song"):
            write_own(own(tmp_path, other, **more))


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "opus", "m4a"])
def test_stems_of_a_song_without_a_name_are_stems_and_not_known_to_be_done(suffix, tmp_path):
    """As those of standard input: a folder that is searched for songs has them, too."""
    nameless = own(tmp_path, "", suffix=suffix, subtype="PCM_24")
    write_own(nameless)
    assert list(map(bool, map(origin_of, nameless.targets(["vocals", "bass"])))) == [True, True]
    assert not nameless.is_done(["vocals", "bass"])
    with pytest.raises(AudioFileError, match="is there already, perhaps of another song"):
        write_own(nameless)


def named(template: str, **tags: str) -> list[str]:
    destination = Destination(Path("out"), file="01", tags=tags, template=template)
    return [str(path) for path in destination.targets(["vocals"])]


def test_names_follow_a_template_and_stay_below_the_folder():
    assert named("{artist}/{title} ({stem})", artist="AC/DC", title="T") == [
        "out/AC_DC/T (vocals).wav"
    ]
    assert named("{artist}/{album}/{file}-{stem}", artist="..", album=".hidden") == [
        "out/unknown/hidden/01-vocals.wav"
    ]
    assert named("{title}/{stem}", title="two\n\tlines\0\x7f") == ["out/two__lines__/vocals.wav"]
    assert named("{artist}/{title}/{stem}") == ["out/unknown/01/vocals.wav"]


@pytest.mark.parametrize("letter", ["x", "ä", "\udce9"])
def test_names_are_cut_to_what_a_folder_takes_and_keep_the_stem(letter):
    (path,) = named("{title}/{artist} {title} {stem}", title=letter * 999, artist=letter * 5)
    _, folder, name = Path(path).parts
    for part in (folder, name):
        assert 250 <= len(os.fsencode(part)) <= 255
    assert name.startswith(letter * 5)
    assert name.endswith(" vocals.wav")


def test_a_template_makes_its_folders_and_leaves_none_behind(tmp_path):
    nested = own(tmp_path / "out", template="{artist}/{stem}", tags={"artist": "A"})
    write_own(nested)
    assert sorted(os.listdir(tmp_path / "out" / "A")) == ["bass.wav", "vocals.wav"]
    with (
        pytest.raises(ZeroDivisionError),
        writing_stems(replace(nested, tags={"artist": "B"}), ["vocals"], 44_100, 0),
    ):
        raise ZeroDivisionError
    assert os.listdir(tmp_path / "out") == ["A"]


@pytest.mark.parametrize(
    ("template", "hint"),
    [
        ("{titel}/{stem}", "there is no field {titel}; did you mean {title}?"),
        ("{0}{stem}", "there is no field {0}; there are {artist}, {album}"),
        ("{title.__class__}{stem}", "there is no field {title.__class__}"),
    ],
)
def test_a_wrong_field_of_a_template_is_named(template, hint):
    with pytest.raises(ConfigError, match=re.escape(f"--name {template}: {hint}")):
        Destination(Path("out"), template=template).check_template()


@pytest.mark.parametrize(
    "template", ["{title}", "{stem", "{stem:>9999999999}", "{stem!a}", "/{stem}", "../{stem}", ""]
)
def test_a_template_that_cannot_be_is_an_error(template):
    with pytest.raises(ConfigError, match=r"--name .*: it must be a path of text and .*{stem}"):
        Destination(Path("out"), template=template).check_template()


def test_a_rate_that_flac_does_not_hold_is_one_clear_error(tmp_path):
    destination = Destination(tmp_path / "out", "flac", "PCM_24")
    message = r"FLAC files have at most 655350 frames per second \(got 768000\): choose another"
    with (
        pytest.raises(AudioFileError, match=message),
        writing_stems(destination, ["vocals"], 768_000, 0),
    ):
        pass
    assert os.listdir(tmp_path) == []


def test_an_encoder_that_ends_is_one_clear_error_and_leaves_nothing(tmp_path):
    with (
        pytest.raises(AudioFileError, match=r"cannot write the stems into .*: not all could be"),
        writing_stems(Destination(tmp_path / "out", "mp3"), ["vocals"], 44_100, 0) as (file,),
    ):
        file._process.kill()
        file._process.wait()
        for _ in range(9):
            file.write(noise(50_000))
    assert os.listdir(tmp_path) == []


def test_encoding_without_ffmpeg_names_its_command(tmp_path, monkeypatch):
    monkeypatch.setattr(stem_file, "which", lambda program: None)
    with (
        pytest.raises(AudioFileError, match=r"cannot write opus files: .* not installed: .*ffmpeg"),
        writing_stems(Destination(tmp_path / "out", "opus"), ["vocals"], 44_100, 0),
    ):
        pass
    assert os.listdir(tmp_path) == []


def test_stems_are_done_that_are_there_whole_and_made_in_the_same_way(tmp_path):
    write_own(own(tmp_path))
    assert own(tmp_path).is_done(["vocals", "bass"])
    assert not own(tmp_path).is_done(["vocals", "drums"])
    assert not own(tmp_path, song="02.wav").is_done(["vocals"])
    assert not own(tmp_path, settings="fast").is_done(["vocals"])
    assert not own(tmp_path, subtype="PCM_24").is_done(["vocals"])


@pytest.mark.parametrize(("suffix", "subtype"), [("wav", "FLOAT"), ("flac", "PCM_24")])
def test_stems_that_a_copy_cut_are_made_again(suffix, subtype, tmp_path):
    destination = own(tmp_path, suffix=suffix, subtype=subtype)
    with writing_stems(destination, ["vocals"], 44_100, 44_100) as (file,):
        file.write(noise(44_100))
    (path,) = tmp_path.iterdir()
    assert destination.is_done(["vocals"])
    os.truncate(path, path.stat().st_size - 4_000)
    assert not destination.is_done(["vocals"])
    destination.check_free(["vocals"])  # it is the song's own all the same


def write_damaged(destination: Destination, damage: str = "1 s is missing") -> None:
    with writing_stems(destination, ["vocals"], 44_100, 0, lambda: damage) as (file,):
        file.write(noise(99))


@pytest.mark.parametrize(
    ("template", "suffix", "note"),
    [
        ("{stem}", "wav", "damage.txt"),
        ("{file}/{stem}", "wav", "01/damage.txt"),
        ("{stem}/{title}", "wav", "damage/01.txt"),
        ("{file}", "stem.mp4", "01 damage.txt"),
    ],
)
def test_what_a_damaged_song_lacked_is_known_on_every_file_system(template, suffix, note, tmp_path):
    """A text beside the stems tells it; it ends when the song is whole."""
    damaged = own(tmp_path, file="01", template=template, suffix=suffix)
    frames = np.zeros((10 if suffix == "stem.mp4" else 2, 4_410), np.float32)
    for lack in ("1 s is missing", ""):
        with writing_stems(damaged, ["vocals"], 44_100, 0, lambda lack=lack: lack) as (file,):
            file.write(frames)
        assert damaged.damage() == lack
        if lack:
            assert (tmp_path / note).read_text().splitlines()[1:] == [lack]
    assert not list(tmp_path.rglob("*.txt"))
    assert not (tmp_path / "damage").exists()


def test_damage_is_the_songs_however_its_stems_are_made(tmp_path):
    write_damaged(own(tmp_path))
    write_damaged(own(tmp_path, settings="fast", suffix="flac", subtype="PCM_24"))
    assert own(tmp_path).is_done(["vocals"])
    assert own(tmp_path).damage() == "1 s is missing"
    assert [path.name for path in tmp_path.glob("*.txt")] == ["damage.txt"]


def test_a_note_that_an_earlier_stemd_wrote_is_known(tmp_path):
    (tmp_path / "damage.txt").write_text("stemd: 01.wav, 99 bytes; exact; FLOAT\n1 s is missing\n")
    assert own(tmp_path).damage() == "1 s is missing"


def test_songs_in_one_folder_keep_their_notes(tmp_path):
    """The files of each have a format of their own."""
    write_damaged(own(tmp_path))
    whole = own(tmp_path, "02.wav, 9 bytes", suffix="flac", subtype="PCM_24")
    write_damaged(whole, "")
    other = replace(whole, song="03.wav, 9 bytes", suffix="mp3")
    write_damaged(other, "2 s are missing")
    damages = [each.damage() for each in (own(tmp_path), whole, other)]
    assert damages == ["1 s is missing", "", "2 s are missing"]


@pytest.mark.parametrize("may_replace", [False, True])
@pytest.mark.parametrize("damage", ["", "1 s is missing"])
def test_a_text_of_the_users_is_never_replaced(damage, may_replace, tmp_path):
    (tmp_path / "damage.txt").write_text("what I broke")
    damaged = own(tmp_path, may_replace=may_replace)
    write_damaged(damaged, damage)
    assert (tmp_path / "damage.txt").read_text() == "what I broke"
    assert damaged.damage() == damage
    assert (tmp_path / "damage 2.txt").exists() == bool(damage)


def test_a_file_of_the_users_where_a_note_needs_a_folder_stays(tmp_path):
    (tmp_path / "damage").write_text("what I broke")
    damaged = own(tmp_path, file="01", template="{stem}/{title}")
    write_damaged(damaged)
    assert (tmp_path / "damage").read_text() == "what I broke"
    assert damaged.damage() == "1 s is missing"


def test_stems_without_a_song_leave_the_notes_of_songs(tmp_path):
    """`stemd demo` writes such."""
    write_damaged(own(tmp_path))
    with writing_stems(Destination(tmp_path, may_replace=True), ["vocals"], 44_100, 0) as (file,):
        file.write(noise(99))
    assert own(tmp_path).damage() == "1 s is missing"


@pytest.mark.parametrize(
    ("suffix", "samplerate", "rate"),
    [("mp3", 37_800, 44_100), ("m4a", 768_000, 96_000), ("ogg", 384_000, 192_000), ("ogg", 99, 99)],
)
def test_an_encoder_that_refuses_a_rate_gets_the_next_one(suffix, samplerate, rate, tmp_path):
    more = {"suffix": suffix, "template": "{stem}"}
    with writing_stems(Destination(tmp_path, **more), ["a"], samplerate, 0) as (file,):
        file.write(noise(samplerate // 10 + 99))
    words = ["ffprobe", "-v", "error", "-show_entries", "stream=sample_rate", "-of", "csv=p=0"]
    told = subprocess.run([*words, tmp_path / f"a.{suffix}"], check=True, stdout=subprocess.PIPE)
    assert int(told.stdout) == rate


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "opus", "m4a", "stem.mp4"])
def test_whether_a_file_is_stemds_own_is_asked_of_no_program_in_vain(suffix, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(stem_file, "_comment_by_ffprobe", lambda path: asked.append(path) or "")
    soundfile.write(tmp_path / "plain.wav", noise(9_000).T, 44_100)
    run_ffmpeg("-i", tmp_path / "plain.wav", "-metadata", "comment=x", tmp_path / f"a.{suffix}")
    assert origin_of(tmp_path / f"a.{suffix}") == ""
    assert asked == []


@pytest.mark.parametrize("suffix", ["wav", "mp3", "ogg", "opus", "m4a"])
def test_the_tags_of_a_song_come_along_with_the_stems_name(suffix, tmp_path):
    soundfile.write(tmp_path / "plain.wav", noise(9_000).T, 44_100)
    tags = {"title": "A – B", "artist": "C & D", "album": "E", "date": "1999", "genre": "Rock"}
    told = [word for tag in tags.items() for word in ("-metadata", "=".join(tag))]
    run_ffmpeg("-i", tmp_path / "plain.wav", *told, tmp_path / f"song.{suffix}")
    with Song(tmp_path / f"song.{suffix}") as song:
        tagged = own(tmp_path / "stems", tags=song.tags)
        write_own(tagged)
        write_own(replace(tagged, suffix=suffix))
    with soundfile.SoundFile(tmp_path / "stems" / "bass.wav") as stem:
        assert {tag: getattr(stem, tag) for tag in tags} == {**tags, "title": "A – B (bass)"}
        assert stem.comment == "stemd: 01.wav, 99 bytes; exact; FLOAT"
    with Song(tmp_path / "stems" / f"bass.{suffix}") as song:
        assert song.tags == {**tags, "title": "A – B (bass)"}


def test_a_stem_that_appears_meanwhile_is_left_alone(tmp_path):
    with (
        pytest.raises(AudioFileError, match=r"vocals.wav is there already"),
        writing_stems(Destination(tmp_path), ["vocals"], 44_100, 0) as (file,),
    ):
        file.write(noise(99))
        (tmp_path / "vocals.wav").write_text("another's")
    assert (tmp_path / "vocals.wav").read_text() == "another's"
    assert os.listdir(tmp_path) == ["vocals.wav"]


STEMS = ["vocals", "drums", "bass", "other"]


@pytest.mark.parametrize(
    ("only", "karaoke", "files"),
    [
        ([], False, {stem: [[stem]] for stem in STEMS}),
        (["vocals"], False, {"vocals": [["vocals"]]}),
        (["bass", "drums"], False, {"drums": [["drums"]], "bass": [["bass"]]}),
        ([], True, {"karaoke": [["drums", "bass", "other"]]}),
        (["vocals"], True, {"vocals": [["vocals"]], "karaoke": [["drums", "bass", "other"]]}),
    ],
)
def test_only_what_is_wanted_is_written(only, karaoke, files):
    assert wanted_files(STEMS, only, karaoke) == files


@pytest.mark.parametrize(
    ("stem", "hint"),
    [("vocal", r"did you mean vocals\?"), ("piano", "they have vocals, drums, bass, other")],
)
def test_a_stem_that_is_not_there_is_an_error_with_those_that_are(stem, hint):
    with pytest.raises(ConfigError, match=rf"the networks have no stem {stem}; {hint}"):
        wanted_files(STEMS, [stem])


def test_a_file_of_several_stems_is_their_sum(tmp_path):
    x = noise(9_000)
    soundfile.write(tmp_path / "song.wav", x.T, 44_100, subtype="FLOAT")
    run(tmp_path / "song.wav", tmp_path / "stems")
    both = {"both": [list(NETWORKS)], "vocals": [["vocals"]]}
    run(tmp_path / "song.wav", tmp_path / "sum", files=both)
    assert sorted(os.listdir(tmp_path / "sum")) == ["both.wav", "vocals.wav"]
    for name, y in (
        ("both", stems_in(tmp_path / "stems").sum(axis=0)),
        ("vocals", stems_in(tmp_path / "stems")[0]),
    ):
        x = soundfile.read(tmp_path / "sum" / f"{name}.wav", dtype="float32")[0].T
        np.testing.assert_allclose(x, y, atol=1e-7)


def write_picture(path: Path) -> None:
    run_ffmpeg("-f", "lavfi", "-i", "color=size=16x16", "-frames:v", "1", "-f", "apng", path)


BAD_SONGS = {
    "missing": (lambda path: None, r"cannot read .*song: there is no such file"),
    "folder": (lambda path: path.mkdir(), r"cannot read .*song: it is a folder; give the files"),
    "fifo": (
        os.mkfifo,
        r"cannot read .*song: it is a FIFO, and must be an ordinary file: pipe what comes out",
    ),
    "device": (
        lambda path: path.symlink_to("/dev/zero"),
        r"cannot read .*song: it is a device, and must be an ordinary file: pipe what comes out",
    ),
    "text": (
        lambda path: path.write_text("la la là"),
        r"cannot read .*song: it is a text file, and no audio file",
    ),
    "no audio": (
        lambda path: path.write_bytes(b"la la \0"),
        r"cannot read .*song: ffmpeg says: Invalid data.*; get a whole copy, or convert it to WAV",
    ),
    "zero bytes": (
        lambda path: path.write_bytes(b""),
        "cannot read .*song: it is empty; get a whole copy",
    ),
    "no frames": (
        lambda path: soundfile.write(path, np.zeros((0, 2)), 44_100, format="WAV"),
        r"cannot read .*song: it holds no sound",
    ),
    "picture": (write_picture, r"cannot read .*song: it holds no sound"),
    "rate": (
        lambda path: soundfile.write(path, noise(999).T, 50, format="WAV"),
        r"has 50 frames per second, and stemd takes 100 to 1536000: convert it first",
    ),
}


@pytest.mark.parametrize("kind", BAD_SONGS)
def test_bad_song_is_one_clear_error_and_leaves_no_file(kind, tmp_path):
    make, message = BAD_SONGS[kind]
    path = tmp_path / "song"
    make(path)
    with pytest.raises(AudioFileError, match=message):
        run(path, tmp_path / "stems")
    assert not (tmp_path / "stems").exists()


def test_failure_leaves_the_stems_that_were_there(tmp_path, monkeypatch):
    song = tmp_path / "song.wav"
    soundfile.write(song, noise(9_000).T, 44_100)
    run(song, tmp_path / "stems")
    before = stems_in(tmp_path / "stems")

    def broken(self):
        yield noise(70_000)
        raise AudioFileError("the decoder was killed")

    monkeypatch.setattr(Song, "blocks", broken)
    with pytest.raises(AudioFileError, match="killed"):
        run(song, tmp_path / "stems", may_replace=True)
    np.testing.assert_array_equal(stems_in(tmp_path / "stems"), before)


def test_a_folder_that_cannot_be_written_is_found_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    Destination(tmp_path.parent / "stems").check_writable(["vocals"])
    for folder in (tmp_path, tmp_path / "a" / "b"):
        with pytest.raises(AudioFileError, match=f"into {tmp_path}: it may not be written; give"):
            Destination(folder).check_writable(["vocals"])
    (tmp_path.parent / "file").write_text("")
    with pytest.raises(AudioFileError, match="file: it is no folder; give"):
        Destination(tmp_path.parent / "file" / "x").check_writable(["vocals"])


def test_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    soundfile.write(tmp_path / "song.wav", noise(9_000).T, 44_100)
    (tmp_path / "stems").write_text("a file stands here")
    with pytest.raises(AudioFileError, match=r"stems: File exists; give another folder \(-o\)"):
        run(tmp_path / "song.wav", tmp_path / "stems")


def test_song_is_never_replaced_by_a_stem_of_itself(tmp_path):
    song = tmp_path / "vocals.wav"
    soundfile.write(song, noise(9_000).T, 44_100)
    before = song.read_bytes()
    with pytest.raises(AudioFileError, match=r"would overwrite the song itself, .*\(-o\)"):
        run(song, tmp_path)
    assert song.read_bytes() == before
    assert os.listdir(tmp_path) == ["vocals.wav"]


def test_folder_in_a_stems_place_is_refused_before_anything_is_replaced(tmp_path):
    soundfile.write(tmp_path / "song.wav", noise(9_000).T, 44_100)
    stems = tmp_path / "stems"
    (stems / "accompaniment.wav").mkdir(parents=True)
    (stems / "vocals.wav").write_text("somebody's own")
    with pytest.raises(AudioFileError, match=r"accompaniment\.wav is a folder; give another .*-o"):
        run(tmp_path / "song.wav", stems, may_replace=True)
    assert (stems / "vocals.wav").read_text() == "somebody's own"
    assert sorted(os.listdir(stems)) == ["accompaniment.wav", "vocals.wav"]


def test_song_whose_name_is_not_utf8_is_read_and_written(tmp_path):
    song = tmp_path / os.fsdecode(b"\xff.wav")
    soundfile.write(os.fsencode(song), noise(9_000).T, 44_100)
    folder = tmp_path / os.fsdecode(b"\xfe")
    run(song, folder)
    assert sorted(os.listdir(folder)) == ["accompaniment.wav", "vocals.wav"]


def test_a_stem_is_wav_and_has_room_to_become_rf64(tmp_path):
    """How long it gets is known when it is written; libsndfile then writes the long sizes there."""
    with writing_stems(Destination(tmp_path), ["vocals"], 44_100, 0) as (file,):
        file.write(noise(99_000))
    head = (tmp_path / "vocals.wav").read_bytes()[:16]
    assert (head[:4], head[8:]) == (b"RIFF", b"WAVEJUNK")
    assert soundfile.info(tmp_path / "vocals.wav").frames == 99_000


FILL_UP = """
stemd, song = sys.argv[2:]
for kib in (4, 8, 60, 400):
    limit(kib)
    out = folder / "new" / "stems"
    ended = subprocess.run(
        [stemd, "separate", song, "--preset", "seed", "-o", out], capture_output=True, text=True
    )
    print(ended.returncode, list(folder.iterdir()), ended.stderr.splitlines()[-1])
"""


def test_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path):
    """Disks that are full at once, and such that fill up in the middle of a stem."""
    soundfile.write(tmp_path / "song.wav", noise(100_000).T, 44_100, subtype="FLOAT")
    disk, stemd = tmp_path / "disk", Path(sys.executable).with_name("stemd")
    for line in small_disk.run(disk, FILL_UP, str(stemd), str(tmp_path / "song.wav")).splitlines():
        full = "No space left on device: they take up to 2 MB; make room, or"
        large = (
            "the file system, or a limit .* on another disk, or a smaller format .--format flac."
        )
        reason = rf"({full} give another folder \(-o\)|{large})"
        assert re.fullmatch(rf"1 \[\] stemd: cannot write the stems into .*: {reason}", line), line


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.EFBIG, "no file that large; FAT permits 4 GB; .* another disk, or a smaller format"),
        (
            errno.EINVAL,
            "refuses the name .*vocals.wav; FAT and exFAT refuse .*; rename the song, or",
        ),
        (errno.EIO, "Input/output error; give another folder"),
    ],
)
def test_a_file_system_that_refuses_is_told_from_others(code, said, tmp_path, monkeypatch):
    def refuse(target: Path) -> None:
        raise OSError(code, os.strerror(code), str(target))

    monkeypatch.setattr(stem_files, "part_of", refuse)
    with (
        pytest.raises(AudioFileError, match=f"cannot write the stems into .*: .*{said}"),
        writing_stems(Destination(tmp_path), ["vocals"], 44_100, 9),
    ):
        pass


OVERFLOW = """
import numpy as np
from stemd.daemon.files.stem_files import Destination, writing_stems
from stemd.daemon.errors import AudioFileError
limit(4000)
for suffix, subtype in (("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_24")):
    noise = np.random.default_rng(0).uniform(-1, 1, (2, 65_536)).astype(np.float32)
    try:
        destination = Destination(folder, suffix, subtype)
        with writing_stems(destination, ["a", "b"], 44_100, 655_360) as files:
            for _ in range(10):
                for file in files:
                    file.write(noise)
    except AudioFileError as error:
        print(list(folder.iterdir()), error)
"""


def test_disk_that_fills_up_after_megabytes_is_named(tmp_path):
    """What was written is removed before the error is told, and the disk is empty again."""
    lines = small_disk.run(tmp_path / "disk", OVERFLOW).splitlines()
    assert len(lines) == 3
    for line in lines:
        assert re.search(
            r"^\[\] cannot write .*: (No space left on device: they take|File too)", line
        )


KILLED = """
import os, signal, sys
from pathlib import Path
from stemd.daemon.files.stem_files import Destination, writing_stems
from stemd.tflite_models.files import part_of
folder = Path(sys.argv[1])
with writing_stems(Destination(folder), ["vocals", "drums"], 44_100, 1):
    with part_of(folder / ("ä" * 120)):
        print(len(os.listdir(folder)), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_run_clears_what_a_killed_one_left_and_nothing_else(tmp_path):
    soundfile.write(tmp_path / "song.wav", noise(9_000).T, 44_100)
    out = tmp_path / "out"
    out.mkdir()
    for name in (".part-mine", ".vocals.wav.0123456789abcdef", ".part-x-0123456789abcdeg"):
        (out / name).write_text("somebody else's")
    killed = subprocess.run([sys.executable, "-c", KILLED, out], capture_output=True, text=True)
    assert killed.stdout == "6\n", killed.stderr
    assert len(list(out.iterdir())) == 6
    with writing_stems(Destination(out, may_replace=True), ["vocals"], 44_100, 1) as at_work:
        assert len(list(out.iterdir())) == 4, "those of the killed one are gone"
        run(tmp_path / "song.wav", out)
        at_work[0].write(np.zeros((2, 1), np.float32))
    assert soundfile.info(out / "vocals.wav").frames == 1
    assert len(list(out.iterdir())) == 5
