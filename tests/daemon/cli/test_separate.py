"""`stemd separate` as a user runs it: every option, the files it writes, a clean end."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from processes import STEMD, end
from stemd.daemon.cli import batch
from stemd.daemon.cli.commands import stemd as cli
from waiting import PATIENCE_S, wait_for
from warm_commands import warm_commands

AS_SEED = ("--preset", "seed")
"""The whole song at a time is exact, and takes three times as long."""

QUICKLY = (*AS_SEED, "--only", "vocals")
"""For what does not depend on the networks."""


@pytest.fixture(scope="module")
def two_seconds(tmp_path_factory):
    """The demo song's third and fourth second: voice and instruments."""
    path = tmp_path_factory.mktemp("song") / "two seconds.flac"
    song = Path(__file__).parents[3] / "daemon" / "cli" / "song" / "slow-motion-dream.mp3"
    x, samplerate = soundfile.read(song, start=2 * 44_100, frames=2 * 44_100)
    soundfile.write(path, x / 2, samplerate)  # no stem beyond full scale
    return path


def stems_of(folder: Path, suffix: str = "wav") -> np.ndarray:
    names = [folder / f"{stem}.{suffix}" for stem in ("vocals", "accompaniment")]
    return np.stack([soundfile.read(name, dtype="float32")[0].T for name in names])


@pytest.fixture(scope="module")
def plain(environment, two_seconds, tmp_path_factory):
    """Its stems, by nothing but the networks."""
    folder = tmp_path_factory.mktemp("plain")
    ended = warm_commands().run(["separate", two_seconds, "-o", folder, *AS_SEED], environment)
    assert ended.returncode == 0, ended.stderr
    return stems_of(folder)


def test_separate_writes_the_stems_and_names_them(stemd, two_seconds, tmp_path):
    ended = stemd("separate", str(two_seconds), cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["two seconds/vocals.wav", "two seconds/accompaniment.wav"]
    x = soundfile.read(two_seconds, dtype="float32")[0].T
    y = stems_of(tmp_path / "two seconds")
    assert soundfile.info(tmp_path / "two seconds" / "vocals.wav").subtype == "FLOAT"
    np.testing.assert_allclose(y.sum(axis=0), x, atol=1e-5)
    assert (np.abs(y).mean(axis=(1, 2)) > 0.01).all(), "a stem is missing"


@pytest.mark.parametrize(
    "options",
    [
        ["--preset", "balanced"],
        ["--mask-extension", "zeros"],
        ["--precision", "int8"],
        ["--format", "flac"],
        ["--bits", "24"],
    ],
    ids=" ".join,
)
def test_every_option_of_separate_does_something(options, plain, stemd, two_seconds, tmp_path):
    ended = stemd("separate", str(two_seconds), "-o", str(tmp_path), *AS_SEED, *options)
    assert ended.returncode == 0, ended.stderr
    other = stems_of(tmp_path, "flac" if "flac" in options else "wav")
    assert plain.shape == other.shape
    if options[0] in ("--preset", "--mask-extension", "--precision"):
        assert np.abs(plain - other).max() > 1e-3
    else:
        np.testing.assert_allclose(plain, other, atol=1e-5)
    if "--bits" in options:
        assert soundfile.info(tmp_path / "vocals.wav").subtype == "PCM_24"


@pytest.mark.parametrize(
    ("options", "precision"),
    [
        ([], "fp32"),
        (["--offline"], "fp32"),
        (["--preset", "studio"], "mixed"),
        (["--preset", "studio", "--precision", "int8"], "int8"),
    ],
)
def test_separate_is_exact_unless_it_does_as_the_daemon(options, precision, monkeypatch):
    told = []

    class Told(batch.Batch):
        def separate(self, *_):
            told.extend(self.works)

    monkeypatch.setattr(batch, "Batch", Told)
    arguments = ["separate", "song.wav", "--threads", "3", *options]
    CliRunner().invoke(cli, arguments, catch_exceptions=False)
    (work,) = told
    assert (work.precision, work.threads) == (precision, 3)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_separate_that_is_interrupted_leaves_nothing(number, environment, tmp_path):
    song = tmp_path / "song.wav"
    soundfile.write(song, np.zeros((600 * 44_100, 1), np.float32), 44_100)
    folder = tmp_path / "stems"
    process = subprocess.Popen(
        [STEMD, "separate", song, "-o", folder], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for(folder)
        process.send_signal(number)
        _, log = process.communicate(timeout=PATIENCE_S)
    finally:
        end(process)
    assert "Traceback" not in log
    assert process.returncode == 128 + number
    assert not folder.exists()


SEVERAL = ("separate", "music", "-o", "stems", "--jobs", "2", *QUICKLY)


@pytest.fixture
def music(two_seconds, tmp_path):
    """Six songs, each louder than the last."""
    x, rate = soundfile.read(two_seconds)
    (tmp_path / "music").mkdir()
    for number in range(6):
        soundfile.write(tmp_path / "music" / f"{number}.flac", (number + 1) / 6 * x, rate)
    return tmp_path


def vocals_in(folder: Path) -> dict[str, bytes]:
    """Each stem by its song, and that nothing else is there."""
    found = {path.parent.name: path for path in folder.rglob("*") if path.is_file()}
    assert {path.name for path in found.values()} <= {"vocals.wav"}
    return {name: path.read_bytes() for name, path in found.items()}


@pytest.mark.parametrize(("done", "number"), [(0, signal.SIGTERM), (4, signal.SIGINT)])
def test_a_run_that_is_interrupted_leaves_whole_stems_and_no_process(
    done, number, music, environment
):
    """Also while processes start; the same command then goes on."""
    process = subprocess.Popen(
        [STEMD, *SEVERAL],
        env=environment,
        cwd=music,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(music / "stems")
        lines = [process.stdout.readline() for _ in range(done)]
        process.send_signal(number)
        more, log = process.communicate(timeout=PATIENCE_S)  # the pipes' ends are everywhere closed
    finally:
        end(process)
    assert process.returncode == 128 + number
    assert "Traceback" not in log
    left = vocals_in(music / "stems")
    assert len(left) >= len([*lines, *more.splitlines()]) >= done
    ended = subprocess.run(
        [STEMD, *SEVERAL, "--resume"], env=environment, cwd=music, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    whole = vocals_in(music / "stems")
    assert len(whole) == 6
    assert left.items() <= whole.items()


def test_two_runs_into_one_folder_do_not_disturb_each_other(music, environment):
    both = [
        subprocess.Popen(
            [STEMD, *SEVERAL], env=environment, cwd=music, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in both:
        _, log = process.communicate(timeout=2 * PATIENCE_S)
        assert process.returncode == 0, log
    assert len(vocals_in(music / "stems")) == 6


def test_separate_under_nohup_does_not_hear_the_terminal_close(environment, tmp_path):
    song = tmp_path / "song.wav"
    soundfile.write(song, np.zeros((20 * 44_100, 1), np.float32), 44_100)
    folder = tmp_path / "stems"
    process = subprocess.Popen(
        ["nohup", STEMD, "separate", song, "-o", folder, *QUICKLY],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(folder)
        process.send_signal(signal.SIGHUP)
        assert process.wait(PATIENCE_S) == 0
    finally:
        end(process)
    assert soundfile.info(folder / "vocals.wav").frames == 20 * 44_100


def test_separate_works_without_a_standard_error(environment, two_seconds, tmp_path):
    quickly = " ".join(QUICKLY)
    command = f'exec "{STEMD}" separate "{two_seconds}" -o "{tmp_path}" {quickly} 2>&-'
    ended = subprocess.run(["sh", "-c", command], env=environment, stdout=subprocess.DEVNULL)
    assert ended.returncode == 0
    assert soundfile.read(tmp_path / "vocals.wav")[0].any()


def test_the_singer_alone_and_all_without_her(plain, stemd, two_seconds, tmp_path):
    options = (*QUICKLY, "--karaoke")
    ended = stemd("separate", str(two_seconds), "-o", "stems", *options, cwd=tmp_path)
    assert ended.stdout.splitlines() == ["stems/vocals.wav", "stems/karaoke.wav"], ended.stderr
    for name, stem in zip(("vocals", "karaoke"), plain, strict=True):
        x = soundfile.read(tmp_path / "stems" / f"{name}.wav", dtype="float32")[0].T
        np.testing.assert_allclose(x, stem, atol=1e-6)


def test_stems_that_are_there_are_refused_at_once_and_replaced_by_force(
    stemd, two_seconds, tmp_path
):
    (tmp_path / "vocals.wav").write_text("of another song")
    words = ["separate", str(two_seconds), "-o", str(tmp_path), *QUICKLY]
    ended = stemd(*words)
    assert ended.returncode == 1
    assert "vocals.wav is there already, perhaps of another song: give" in ended.stderr
    assert (tmp_path / "vocals.wav").read_text() == "of another song"
    ended = stemd(*words, "--force")
    assert ended.returncode == 0
    assert soundfile.info(tmp_path / "vocals.wav").frames == 2 * 44_100


def test_many_songs_are_separated_in_one_run_and_a_broken_one_stops_none(
    stemd, two_seconds, tmp_path
):
    """Two albums with an 01 each, one damaged song, one that is none."""
    data = two_seconds.read_bytes()
    for name, content in (
        ("a/01.flac", data),
        ("a/02.flac", b"no song"),
        ("b/01.flac", data),
        ("b/02.flac", data[: len(data) // 2]),
    ):
        (tmp_path / "music" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "music" / name).write_bytes(content)
    words = ["separate", "music", "-o", "stems", *QUICKLY, "--resume", "--report", "report.json"]
    ended = stemd(*words, cwd=tmp_path)
    assert ended.returncode == 1
    assert sorted(ended.stdout.splitlines()) == [
        *("stems/a/01/vocals.wav", "stems/b/01/vocals.wav", "stems/b/02/vocals.wav"),
    ], ended.stderr
    assert re.search(r"^music/a/01.flac: 2.0 s, \S+ times as fast as", ended.stderr, re.MULTILINE)
    assert "music/b/02.flac is damaged" in ended.stderr
    assert "4 songs: 2 separated, 1 not separated, 1 damaged" in ended.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert [(song["song"], song["state"]) for song in report] == [
        ("music/a/01.flac", "separated"),
        ("music/a/02.flac", "not separated"),
        ("music/b/01.flac", "separated"),
        ("music/b/02.flac", "damaged"),
    ]
    assert [round(song["seconds"], 1) for song in report] == [2.0, 0.0, 2.0, 0.9]
    assert [len(song["warnings"]) for song in report] == [0, 1, 0, 1]
    before = (tmp_path / "stems/b/01/vocals.wav").stat().st_mtime_ns
    ended = stemd(*words, cwd=tmp_path)
    assert ended.stderr.count("is done already") == 3
    assert "4 songs: 2 done already, 1 not separated, 1 damaged" in ended.stderr
    assert ended.stdout == ""
    for album in "ab":
        (tmp_path / "music" / album / "02.flac").unlink()
    ended = stemd(*words, cwd=tmp_path)
    assert ended.returncode == 0
    assert "2 songs: 2 done already; nothing was left to do" in ended.stderr
    assert (tmp_path / "stems/b/01/vocals.wav").stat().st_mtime_ns == before


def test_songs_of_one_name_never_replace_each_others_stems(stemd, two_seconds, tmp_path):
    """Two takes that begin with the same silence, and have no tags."""
    x, rate = soundfile.read(two_seconds)
    for take, loud in (("1", 0.5), ("2", 0.9)):
        (tmp_path / take).mkdir()
        both = np.concatenate([np.zeros((rate // 2, 2)), loud * x[:rate]])
        soundfile.write(tmp_path / take / "take.wav", both, rate, subtype="PCM_16")
    words = ["separate", *QUICKLY]
    ended = stemd(*words, "1/take.wav", "-o", "stems", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    ended = stemd(*words, "2/take.wav", "-o", "stems", "--resume", cwd=tmp_path)
    assert ended.returncode == 1
    assert "vocals.wav is there already, perhaps of another song" in ended.stderr
    words += ["1/take.wav", "2/take.wav", "--name", "{artist}/{stem}", "--force", "-o", "named"]
    ended = stemd(*words, cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stdout.splitlines() == ["named/unknown/vocals.wav"]
    assert "named/unknown/vocals.wav is a stem of 1/take.wav, which has the same name" in (
        ended.stderr
    )


def test_a_report_is_known_to_be_possible_and_replaces_only_reports(stemd, two_seconds, tmp_path):
    words = ["separate", str(two_seconds), *QUICKLY, "-o", "stems"]
    song = tmp_path / "song.flac"
    shutil.copy(two_seconds, song)
    ended = stemd(*words, "--report", "nowhere/report.json", cwd=tmp_path)
    assert ended.returncode == 1
    assert "cannot write the report nowhere/report.json: its folder is not there" in ended.stderr
    assert not (tmp_path / "stems").exists()
    ended = stemd(*words, "--force", "--report", song.name, cwd=tmp_path)
    assert ended.returncode == 1
    assert "song.flac is there already, and is no report of an earlier run" in ended.stderr
    assert song.read_bytes() == two_seconds.read_bytes()
    for _ in range(2):
        ended = stemd(*words, "--report", "report.json", cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr


def test_a_song_that_is_standard_input_is_not_replaced(stemd, two_seconds, tmp_path):
    song = tmp_path / "vocals.wav"
    x, rate = soundfile.read(two_seconds)
    soundfile.write(song, x, rate)
    before = song.read_bytes()
    with song.open() as given:
        words = ["separate", "-", "-o", ".", "--force", *QUICKLY]
        ended = stemd(*words, stdin=given, cwd=tmp_path)
    assert ended.returncode == 1
    assert "a stem would overwrite the song itself, vocals.wav" in ended.stderr
    assert song.read_bytes() == before


@pytest.mark.parametrize(("suffix", "written"), [("wav", "mp3"), ("mp3", "flac")])
def test_the_name_of_a_song_need_not_be_text(suffix, written, stemd, two_seconds, tmp_path):
    song = tmp_path / f"song.{suffix}"
    soundfile.write(song, *soundfile.read(two_seconds))
    name = b"caf\xe9." + suffix.encode()
    song.rename(os.fsdecode(bytes(tmp_path) + b"/" + name))
    for resume, said in ((), " as fast as real time"), (["--resume"], "is done already"):
        words = ["separate", name, "-o", "stems", *QUICKLY, "--format", written, *resume]
        ended = stemd(*words, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        assert said in ended.stderr


@pytest.mark.parametrize("way", ["pipe", "file"])
def test_a_song_comes_from_standard_input(way, stemd, plain, two_seconds, tmp_path):
    """From a pipe it is decoded as it comes; a file is read like any other."""
    with ExitStack() as stack:
        given = stack.enter_context(two_seconds.open())
        if way == "pipe":
            cat = subprocess.Popen(["cat"], stdin=given, stdout=subprocess.PIPE)
            given = stack.enter_context(cat).stdout
        ended = stemd("separate", "-", "-o", "stems", *AS_SEED, stdin=given, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    np.testing.assert_allclose(stems_of(tmp_path / "stems"), plain, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "written"),
    [
        (["--name", "{file} {stem}"], "stems/stdin vocals.wav"),
        (["--name", "{title}/{stem}"], "stems/stdin/vocals.wav"),
        (["song.flac"], "stems/stdin/vocals.wav"),
    ],
)
def test_standard_input_is_called_stdin(options, written, stemd, two_seconds, tmp_path):
    (tmp_path / "song.flac").write_bytes(two_seconds.read_bytes())
    with two_seconds.open() as given:
        words = ["separate", "-", "-o", "stems", *QUICKLY, *options]
        ended = stemd(*words, stdin=given, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert written in ended.stdout.splitlines()


@pytest.mark.parametrize("given", ["<&-", "</dev/null"])
def test_an_empty_standard_input_is_called_empty(given, environment, tmp_path):
    command = ["sh", "-c", f"{shlex.quote(str(STEMD))} separate - -o stems {given}"]
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr == "stemd: standard input is empty: pipe a song in, or name a file\n"


def test_a_name_that_looks_like_an_option_is_told_how_to_be_typed(stemd, tmp_path):
    (tmp_path / "-01 a song.wav").touch()
    ended = stemd("separate", "-01 a song.wav", cwd=tmp_path)
    assert ended.returncode == 2
    assert "For the file -01 a song.wav, type './-01 a song.wav'" in ended.stderr
    ended = stemd("separate", f"--{'a' * 300}", cwd=tmp_path)  # no file can have this name
    assert ended.returncode == 2
    assert "No such option" in ended.stderr
    for words in (["./-01 a song.wav"], ["--", "-01 a song.wav"]):
        ended = stemd("separate", *words, cwd=tmp_path)
        assert "cannot read -01 a song.wav: it is empty" in ended.stderr


def test_a_song_that_may_not_be_read_stops_no_other(two_seconds, environment, tmp_path):
    closed = tmp_path / "closed.flac"
    shutil.copy(two_seconds, closed)
    closed.chmod(0)
    bound = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    if os.geteuid():
        bound = []
    ended = subprocess.run(
        [*bound, STEMD, "separate", closed, two_seconds, "-o", "stems", *QUICKLY],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert f"cannot read {closed}: Permission denied" in ended.stderr
    assert ended.stdout.splitlines() == ["stems/two seconds/vocals.wav"]


def test_the_name_of_a_file_is_no_folder_unless_there_is_one(stemd, tmp_path):
    for name in ("vocals.wav", "out/song.STEM.MP4"):
        ended = stemd("separate", "song.wav", "-o", name, cwd=tmp_path)
        assert ended.returncode == 2
        assert f"-o {name}: it must be a folder, and this is the name of a file" in ended.stderr
    (tmp_path / "album.wav").mkdir()
    ended = stemd("separate", "song.wav", "-o", "album.wav", cwd=tmp_path)
    assert "cannot read song.wav: there is no such file" in ended.stderr


def test_a_folder_whose_name_is_too_long_is_one_clear_error(stemd, two_seconds, tmp_path):
    ended = stemd("separate", str(two_seconds), "-o", "x" * 256, *QUICKLY, cwd=tmp_path)
    assert ended.returncode == 1
    assert "x: File name too long; give another folder (-o)" in ended.stderr


def test_standard_input_asks_for_a_folder(stemd, tmp_path):
    ended = stemd("separate", "-", cwd=tmp_path)
    assert ended.returncode == 1
    assert "standard input has no name for a folder: give one (-o)" in ended.stderr


def test_a_damaged_song_gives_its_stems_a_clear_line_and_exit_code_3(stemd, two_seconds, tmp_path):
    song = tmp_path / "song.flac"
    data = two_seconds.read_bytes()
    song.write_bytes(data[: len(data) // 2])
    for options in ([], ["--resume"]):
        ended = stemd("separate", str(song), "-o", str(tmp_path), *QUICKLY, *options)
        assert ended.returncode == 3
        assert re.search(
            r"stemd: \S+song.flac is damaged: 1\.\d+ s are missing at 0:00\.9", ended.stderr
        )
        assert ("is done already" in ended.stderr) == bool(options)
    assert soundfile.info(tmp_path / "vocals.wav").frames > 0.8 * 44_100


def test_more_than_two_channels_are_said_to_be_mixed_down(stemd, tmp_path):
    soundfile.write(tmp_path / "song.wav", np.full((9_000, 6), 0.1), 44_100)
    ended = stemd("separate", "song.wav", *QUICKLY, cwd=tmp_path)
    assert ended.returncode == 0
    assert "song.wav has 6 channels: they are mixed down to stereo (ITU-R BS.775)" in ended.stderr


@pytest.mark.parametrize("name", ["song", "..wav", ".wav"])
def test_song_whose_name_makes_no_folder_asks_for_one(name, stemd, two_seconds, tmp_path):
    shutil.copy(two_seconds, tmp_path / name)
    ended = stemd("separate", name, cwd=tmp_path)
    assert ended.returncode == 1
    assert f"would have the name of the song itself, {name}: give another (-o)" in ended.stderr
