"""Whatever plays is read whole; of what is damaged, all that can be decoded, in its place."""

import os
import tracemalloc
from errno import EIO
from pathlib import Path

import numpy as np
import pytest
import soundfile

from songs import CBR, KINDS, SAMPLERATE, SECONDS, Maker, frames_by_ffmpeg, run_ffmpeg
from stemd.daemon.errors import AudioFileError
from stemd.daemon.files import decoders
from stemd.daemon.files import song as module
from stemd.daemon.files.song import Song

CODEC_FRAME = 1152
"""Of MP3; the others' are no longer, but FLAC's and ALAC's."""


@pytest.fixture(scope="module")
def maker(tmp_path_factory):
    return Maker(tmp_path_factory.mktemp("songs"))


@pytest.fixture(scope="module")
def noise(maker):
    return read(maker.noise)[0]


def read(path: Path):
    """The song [shape=(2, frames)], and what is missing: pairs of seconds."""
    with Song(path) as song:
        x = np.concatenate(list(song.blocks()), axis=1)
        rate = song.samplerate
        return x, [(each.at / rate, each.frames / rate) for each in song.damage]


def level_db(x: np.ndarray) -> float:
    return 10 * np.log10(np.square(x, dtype=np.float64).mean())


def lag(x: np.ndarray, y: np.ndarray) -> int:
    """By how many frames a piece of a song is later than in another."""
    from scipy.signal import correlate  # it takes a second

    return int(np.argmax(correlate(y, x, method="fft"))) - (len(x) - 1)


DIED = "wav of a recorder that died"
TOO_MUCH = "declares too much"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_song_is_read_whole_and_at_its_level(kind, maker, noise):
    """As many frames as ffmpeg alone decodes; lengths are counted, not believed."""
    path = maker.make(kind)
    x, damage = read(path)
    assert abs(x.shape[1] - frames_by_ffmpeg(path)) <= CODEC_FRAME
    half = x.shape[1] // 2  # what is joined is the same twice
    assert level_db(x[:, :half]) == pytest.approx(level_db(noise), abs=1)  # MP3 loses half a dB
    if kind not in (DIED, TOO_MUCH):
        assert damage == []


@pytest.mark.parametrize("samplerate", [8_000, 11_025, 12_000, 16_000, 48_000])
def test_a_whole_mp3_of_any_rate_is_whole(samplerate, maker, tmp_path):
    for options in (("-b:a", "64k"), ("-q:a", "4"), ("-b:a", "32k", "-ac", "1")):
        path = tmp_path / "song.mp3"
        run_ffmpeg("-y", "-i", maker.noise, "-ar", str(samplerate), *options, path)
        assert read(path)[1] == []


def test_a_file_that_declares_too_much_is_told_as_short(maker):
    (damage,) = read(maker.make(TOO_MUCH))[1]
    assert damage == pytest.approx((SECONDS, SECONDS), abs=0.1)


KNOW_THEIR_LENGTH = [
    *("vbr", "alac", "webm", "wavpack", "flac", "aiff", "w64", "rf64", "streamed flac"),
    *("mkv film", "ts film", "m4a first its index"),
]


@pytest.mark.parametrize("kind", [*KNOW_THEIR_LENGTH, "ogg", "opus", "adts", "wma", "caf"])
def test_what_is_missing_of_a_cut_song_is_told(kind, maker):
    path = maker.cut(
        maker.encoded("first.m4a", "-c:a", "aac", "-movflags", "+faststart")
        if kind == "m4a first its index"
        else maker.encoded("end.m4a", "-c:a", "alac", "-movflags", "+faststart")
        if kind == "alac"
        else maker.make(kind)
    )
    x, damage = read(path)
    assert x.shape[1] > 0.4 * SECONDS * SAMPLERATE
    (place, missing) = damage[-1]
    rate = 48_000 if kind in ("opus", "webm", "mkv film") else SAMPLERATE
    assert place == pytest.approx(x.shape[1] / rate, abs=0.2)
    if kind in KNOW_THEIR_LENGTH and kind not in ("streamed flac", "ts film"):
        told = SECONDS + ("film" in kind)  # whose pictures are longer
        assert place + missing == pytest.approx(told, abs=0.1)


@pytest.mark.parametrize("kind", ["flac", "ogg", "opus", "alac", "mp4 film", "mkv film"])
def test_what_follows_damage_is_in_its_place_in_time(kind, maker):
    """Where the file tells the time; silence is in place of what is missing."""
    whole, none = read(maker.make(kind))
    x, damage = read(maker.scratched(maker.make(kind)))
    assert none == []
    assert x.shape[1] == pytest.approx(whole.shape[1], abs=CODEC_FRAME)
    tail = x[0, -SAMPLERATE:] if np.any(x[0, -SAMPLERATE:]) else x[0]
    late = lag(tail, whole[0]) - (x.shape[1] - len(tail))
    assert abs(late) <= 48  # the times of some films are in milliseconds
    assert damage
    for place, missing in damage:
        assert not x[:, round(place * 48_000) : round(place * 48_000)].any()
        assert 0 < missing < SECONDS


def test_a_scratched_mp3_without_times_is_read_on_and_told(maker):
    path = maker.scratched(maker.make("cbr without a header"))
    x, damage = read(path)
    assert abs(x.shape[1] - frames_by_ffmpeg(path)) <= CODEC_FRAME
    ((place, _),) = damage
    assert place == pytest.approx(SECONDS / 2, abs=0.3)


def test_samples_that_are_no_numbers_are_silence_and_told(tmp_path):
    x = np.full((2, 100_000), 0.1, np.float32)
    x[1, 70_000:70_010] = np.nan
    x[0, 70_005] = np.inf
    x[0, 99_000] = 1e30
    soundfile.write(tmp_path / "song.wav", x.T, SAMPLERATE, subtype="FLOAT")
    y, damage = read(tmp_path / "song.wav")
    broken = ~(np.abs(x) < 1)
    np.testing.assert_array_equal(y, np.where(broken, 0, x))
    assert np.array(damage) * SAMPLERATE == pytest.approx(np.array([[70_000, 11]]))


SPEAKERS = np.array([(1, 0), (0, 1), (0.5**0.5, 0.5**0.5), (0, 0), (0.5**0.5, 0), (0, 0.5**0.5)])
"""Front, centre, subwoofer and sides: how much of each is left, and how much right."""


@pytest.mark.parametrize("suffix", ["wav", "flac", "ac3", "mkv"])
def test_a_film_is_mixed_down_as_bs_775_says(suffix, tmp_path):
    """Each speaker is heard for half a second, one after the other."""
    length = SAMPLERATE // 2
    x = np.zeros((6, length, 6), np.float32)
    for speaker in range(6):
        tone = np.sin(np.arange(length) * (0.01 if speaker == 3 else 0.05))
        x[speaker, :, speaker] = 0.25 * tone
    path = tmp_path / "six.wav"
    soundfile.write(path, x.reshape(-1, 6), SAMPLERATE, subtype="PCM_16")
    if suffix != "wav":
        options = ("-b:a", "640k") if suffix == "ac3" else ()
        run_ffmpeg("-i", path, *options, path.with_suffix(f".{suffix}"))
        path = path.with_suffix(f".{suffix}")
    y = read(path)[0][:, : 6 * length].reshape(2, 6, length)[:, :, 5_000:-5_000]
    rms = np.sqrt(np.square(y, dtype=np.float64).mean(axis=2))
    np.testing.assert_allclose(rms, 0.25 * 0.5**0.5 * SPEAKERS.T, atol=5e-3)


def test_the_speakers_are_those_that_the_header_names(tmp_path):
    """Two in front and two at the sides: the third is a side here, not the centre."""
    path = tmp_path / "song.wav"
    run_ffmpeg(
        *("-f", "lavfi", "-i", "aevalsrc=0|0|0.5|0:c=FL+FR+SL+SR:d=0.5:s=44100"),
        *("-c:a", "pcm_f32le", path),
    )
    y, _ = read(path)
    np.testing.assert_allclose(y.mean(axis=1), [0.5 * 0.5**0.5, 0], atol=1e-6)


def test_channels_that_nothing_is_known_of_are_in_the_centre(tmp_path):
    x = np.zeros((1000, 10), np.float32)
    x[:, 9] = 0.5
    soundfile.write(tmp_path / "song.wav", x, SAMPLERATE, subtype="FLOAT")
    y, _ = read(tmp_path / "song.wav")
    np.testing.assert_allclose(y, 0.5 * 0.5**0.5, atol=1e-6)


@pytest.mark.parametrize("first", ["mono", "stereo"])
def test_joined_parts_of_other_channels_each_have_their_level(first, maker, noise):
    """As an advertisement in front of a song: the song stays stereo."""
    mono = maker.encoded("mono.mp3", *CBR, "-ac", 1, "-af", "pan=mono|c0=c0")
    parts = [mono, maker.make("cbr without a header")]
    parts = parts if first == "mono" else parts[::-1]
    path = maker.folder / f"{first}-first.mp3"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    x, damage = read(path)
    assert damage == []
    assert abs(x.shape[1] - 2 * SECONDS * SAMPLERATE) < 4 * CODEC_FRAME
    for part, place in zip(parts, (SAMPLERATE, (SECONDS + 1) * SAMPLERATE), strict=True):
        y = x[:, place : place + 2 * SAMPLERATE]
        assert level_db(y) == pytest.approx(level_db(noise), abs=1)
        is_same = np.allclose(y[0], y[1], atol=1e-4)
        assert is_same == (part == mono)


def test_a_cover_is_no_film(maker):
    """A picture in a song does not make its declared length the film's."""
    cover = maker.folder / "cover.png"
    run_ffmpeg("-f", "lavfi", "-i", "color=size=16x16", "-frames:v", "1", cover)
    path = maker.folder / "covered.mp3"
    options = ("-map", "0", "-map", "1", "-c:a", "libmp3lame", "-q:a", "4")
    run_ffmpeg("-i", maker.noise, "-i", cover, *options, path)
    assert read(path)[1] == []
    (damage,) = read(maker.cut(path))[1]
    assert sum(damage) == pytest.approx(SECONDS, abs=0.1)


def test_without_ffmpeg_its_command_is_named_and_what_libsndfile_reads_is_read(maker, monkeypatch):
    monkeypatch.setattr(decoders, "which", lambda program: None)
    with pytest.raises(AudioFileError, match=r"by ffmpeg, which is not installed: .*ffmpeg"):
        Song(maker.make("vbr"))
    for kind in ("flac", "aiff", "caf", "w64", "rf64"):
        assert read(maker.make(kind))[0].shape[1] == SECONDS * SAMPLERATE


def test_a_song_of_any_length_takes_the_memory_of_a_block(tmp_path):
    seconds = 40
    path = tmp_path / "long.mp3"
    run_ffmpeg("-f", "lavfi", "-i", f"anoisesrc=d={seconds}:a=0.1", *CBR, "-ac", 2, path)
    tracemalloc.start()
    try:
        with Song(path) as song:
            frames = sum(block.shape[1] for block in song.blocks())
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert frames >= seconds * song.samplerate
    assert most < 3e6  # the whole of it takes 14 MB


@pytest.mark.parametrize("kind", ["vbr", "ogg", "m4a", "flac", "webm", "wma", "ts film"])
def test_a_file_with_random_bytes_is_read_or_refused_in_one_line(kind, maker):
    data = maker.make(kind).read_bytes()
    random = np.random.default_rng(len(data))
    for _ in range(2):
        broken = bytearray(data)
        for at in random.integers(0, len(data), 1 + len(data) // 3000):
            broken[at] = random.integers(256)
        path = maker.folder / f"random-{maker.make(kind).name}"
        path.write_bytes(broken)
        try:
            x, _ = read(path)
            assert np.isfinite(x).all()
        except AudioFileError as error:
            assert len(str(error).splitlines()) == 1


def test_a_song_that_is_not_read_to_its_end_leaves_no_program_behind(maker):
    with Song(maker.make("vbr")) as song:
        next(song.blocks())
        process = song._decoder._process
    assert process.poll() is not None


def test_names_that_mean_something_to_ffmpeg_are_names(maker, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("-i", "concat:x|y.mp3", "a%02d.mp3", os.fsdecode(b"\xff.mp3")):
        (tmp_path / name).write_bytes(maker.make("vbr").read_bytes())
        assert read(Path(name))[0].shape[1] == SECONDS * SAMPLERATE


def test_a_song_that_cannot_be_read_to_its_end_is_one_clear_error(tmp_path, monkeypatch):
    """Of a broken disk, for example."""
    soundfile.write(tmp_path / "song.wav", np.zeros(99), 44_100)

    def refuse(_: Path) -> None:
        raise OSError(EIO, "Input/output error")

    with Song(tmp_path / "song.wav") as song:
        monkeypatch.setattr(module, "open_ordinary", refuse)
        with pytest.raises(AudioFileError, match=r"cannot read .*song.wav: Input/output error"):
            _ = song.fingerprint


@pytest.mark.parametrize("name", ["song.wav", "song.flac", "song.mp3", "song"])
def test_an_empty_file_is_called_empty(name, tmp_path):
    (tmp_path / name).touch()
    with pytest.raises(AudioFileError, match=rf"cannot read .*/{name}: it is empty; get a whole"):
        read(tmp_path / name)


def test_a_protected_song_is_refused_where_ffmpeg_would_decode_noise(maker):
    whole = maker.encoded("phone.m4a", "-c:a", "aac")
    protected = maker.changed(whole, "protected", lambda data: data.replace(b"mp4a", b"drms", 1))
    with pytest.raises(AudioFileError, match=r"it is protected \(DRM\), .*: get a copy without"):
        Song(protected)


def test_raw_samples_are_refused_where_ffmpeg_would_find_sound_in_them(maker, tmp_path):
    """It looks at content, and finds one format or another in much that is none."""
    raw = tmp_path / "song.PCM"
    raw.write_bytes(maker.make("ape").read_bytes())
    with pytest.raises(AudioFileError, match=r"raw samples do not say what they are: convert them"):
        read(raw)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("https://example.org/song.mp3", "there is no such file; download it first"),
        ("music/http:/example.org/song.mp3", "there is no such file; download it first"),
        ("file:///song.mp3", "there is no such file"),
        ("song.mp3", "there is no such file"),
    ],
)
def test_an_address_is_told_to_be_downloaded(name, said):
    with pytest.raises(AudioFileError, match=rf": {said}$"):
        read(Path(name))
