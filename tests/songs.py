"""Makes songs of every kind by ffmpeg, whole and damaged."""

import struct
import subprocess
from pathlib import Path

import numpy as np
import soundfile

SECONDS, SAMPLERATE = 4, 44_100


def run_ffmpeg(*words: object) -> bytes:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def frames_by_ffmpeg(path: Path, channels: int = 2) -> int:
    """How many frames ffmpeg alone decodes."""
    words = ["ffmpeg", "-nostdin", "-v", "quiet", "-i", path, "-vn", "-f", "f32le", "-"]
    return len(subprocess.run(words, stdout=subprocess.PIPE).stdout) // 4 // channels


def write_noise(path: Path, seconds: float = SECONDS, samplerate: int = SAMPLERATE) -> None:
    """Noise below some kHz, other in each channel, which every codec keeps."""
    frames = round(seconds * samplerate)
    spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal((2, frames)))
    spectrum[:, np.fft.rfftfreq(frames, 1 / samplerate) > 4_000] = 0
    x = np.fft.irfft(spectrum, frames)
    soundfile.write(path, (0.1 * x / x.std()).T, samplerate, subtype="PCM_16")


def _ape_tag() -> bytes:
    items = b"".join(
        struct.pack("<II", len(value), 0) + key + b"\0" + value
        for key, value in ((b"Title", b"x" * 40), (b"Artist", b"y" * 300))
    )

    def mark(flags: int) -> bytes:
        return b"APETAGEX" + struct.pack("<IIII", 2000, len(items) + 32, 2, flags) + bytes(8)

    return mark(0xA000_0000) + items + mark(0x8000_0000)


CBR = ("-c:a", "libmp3lame", "-b:a", "128k", "-write_xing", "0", "-id3v2_version", "0")
VBR = ("-c:a", "libmp3lame", "-q:a", "4", "-id3v2_version", "0")
VIDEO = ("-f", "lavfi", "-i", f"testsrc=size=64x48:rate=5:duration={SECONDS + 1}")


class Maker:
    """Makes each kind of file from the noise, once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.noise = folder / "noise.wav"
        write_noise(self.noise)

    def encoded(self, name: str, *options: object) -> Path:
        path = self.folder / name
        if not path.exists():
            run_ffmpeg("-i", self.noise, *options, path)
        return path

    def film(self, name: str, *options: object) -> Path:
        path = self.folder / name
        if not path.exists():
            run_ffmpeg(*VIDEO, "-i", self.noise, *options, path)
        return path

    def changed(self, path: Path, name: str, change) -> Path:
        target = self.folder / f"{name}-{path.name}"
        target.write_bytes(change(path.read_bytes()))
        return target

    def cut(self, path: Path) -> Path:
        return self.changed(path, "cut", lambda data: data[: len(data) * 6 // 10])

    def scratched(self, path: Path) -> Path:
        def scratch(data: bytes) -> bytes:
            middle, length = len(data) // 2, min(3000, len(data) // 20)
            noise = np.random.default_rng(2).integers(0, 255, length, np.uint8).tobytes()
            return data[:middle] + noise + data[middle + length :]

        return self.changed(path, "scratched", scratch)

    def make(self, kind: str) -> Path:
        return KINDS[kind](self)


def with_frames(data: bytes, share: float) -> bytes:
    """Another number of frames in the header of an MP3 file."""
    at = data.find(b"Xing") + 8
    frames = int.from_bytes(data[at : at + 4], "big")
    return data[:at] + round(frames * share).to_bytes(4, "big") + data[at + 4 :]


def with_length(data: bytes, length: int) -> bytes:
    """Another length of the samples in the header of a WAV file."""
    at = data.find(b"data") + 4
    size = length.to_bytes(4, "little")
    return data[:4] + size + data[8:at] + size + data[at + 4 :]


def with_cover(data: bytes) -> bytes:
    """In front a tag with a picture of 4 MB, which is none."""
    picture = b"\0image/jpeg\0\3\0" + np.random.default_rng(3).bytes(4 * 10**6)
    frame = b"APIC" + len(picture).to_bytes(4, "big") + b"\0\0" + picture
    size = bytes(len(frame) >> 7 * n & 0x7F for n in (3, 2, 1, 0))
    return b"ID3\3\0\0" + size + frame + data


def streamed(maker: Maker, name: str, kind: str) -> Path:
    """A file whose program could not go back to write its length."""
    path = maker.folder / name
    path.write_bytes(run_ffmpeg("-i", maker.noise, "-f", kind, "-"))
    return path


def cbr(maker: Maker) -> Path:
    return maker.encoded("cbr.mp3", *CBR)


def vbr(maker: Maker) -> Path:
    return maker.encoded("vbr.mp3", *VBR)


def vorbis(maker: Maker) -> Path:
    return maker.encoded("noise.ogg", "-c:a", "libvorbis")


def opus(maker: Maker) -> Path:
    return maker.encoded("noise.opus", "-c:a", "libopus")


ID3V1 = b"TAG" + b"x" * 124 + b"\x11"

KINDS = {
    "cbr without a header": cbr,
    "vbr": vbr,
    "vbr without a header": lambda m: m.encoded("bare.mp3", *VBR, "-write_xing", "0"),
    "mp3 with a cover of megabytes": lambda m: m.changed(vbr(m), "cover", with_cover),
    "mp2": lambda m: m.encoded("noise.mp2"),
    "id3v1": lambda m: m.changed(cbr(m), "id3v1", lambda data: data + ID3V1),
    "ape": lambda m: m.changed(vbr(m), "ape", lambda data: data + _ape_tag() + ID3V1),
    "joined": lambda m: m.changed(vbr(m), "joined", lambda data: 2 * data),
    "joined without headers": lambda m: m.changed(cbr(m), "joined", lambda data: 2 * data),
    "declares too little": lambda m: m.changed(vbr(m), "short", lambda d: with_frames(d, 0.5)),
    "declares too much": lambda m: m.changed(vbr(m), "long", lambda d: with_frames(d, 2)),
    "begins inside a frame": lambda m: m.changed(cbr(m), "inside", lambda data: data[1234:]),
    "ogg": vorbis,
    "chained ogg": lambda m: m.changed(vorbis(m), "chained", lambda data: 2 * data),
    "opus": opus,
    "chained opus": lambda m: m.changed(opus(m), "chained", lambda data: 2 * data),
    "m4a": lambda m: m.encoded("noise.m4a", "-c:a", "aac"),
    "alac": lambda m: m.encoded("alac.m4a", "-c:a", "alac"),
    "adts": lambda m: m.encoded("noise.aac", "-c:a", "aac", "-f", "adts"),
    "webm": lambda m: m.encoded("noise.webm", "-c:a", "libopus"),
    "ac3": lambda m: m.encoded("noise.ac3"),
    "dolby digital plus": lambda m: m.encoded("noise.eac3"),
    "dts": lambda m: m.encoded("noise.dts", "-strict", "-2"),
    "true audio": lambda m: m.encoded("noise.tta"),
    "wma": lambda m: m.encoded("noise.wma"),
    "wavpack": lambda m: m.encoded("noise.wv"),
    "au": lambda m: m.encoded("noise.au"),
    "flac": lambda m: m.encoded("noise.flac"),
    "streamed flac": lambda m: streamed(m, "streamed.flac", "flac"),
    "flac of 192 kHz": lambda m: m.encoded("192.flac", "-ar", 192_000, "-sample_fmt", "s32"),
    "wav of 8 bits": lambda m: m.encoded("8.wav", "-c:a", "pcm_u8"),
    "wav of 64-bit floats": lambda m: m.encoded("64.wav", "-c:a", "pcm_f64le"),
    "wav of telephones": lambda m: m.encoded("mulaw.wav", "-c:a", "pcm_mulaw"),
    "aiff of a Mac": lambda m: m.encoded("sowt.aifc", "-c:a", "pcm_s16le", "-f", "aiff"),
    "aiff": lambda m: m.encoded("noise.aiff"),
    "caf": lambda m: m.encoded("noise.caf"),
    "w64": lambda m: m.encoded("noise.w64"),
    "rf64": lambda m: m.encoded("rf64.wav", "-rf64", "always"),
    "adpcm": lambda m: m.encoded("adpcm.wav", "-c:a", "adpcm_ms"),
    "mp3 in wav": lambda m: m.encoded("mp3.wav", "-c:a", "libmp3lame"),
    "streamed wav": lambda m: streamed(m, "streamed.wav", "wav"),
    "wav of a recorder that died": lambda m: m.changed(
        m.noise, "died", lambda d: with_length(d, 0)
    ),
    "wav of any length": lambda m: m.changed(m.noise, "any", lambda d: with_length(d, 2**32 - 1)),
    "mp4 film": lambda m: m.film("film.mp4", "-c:v", "mpeg4", "-c:a", "aac"),
    "mkv film": lambda m: m.film("film.mkv", "-c:v", "mpeg4", "-c:a", "libopus"),
    "ts film": lambda m: m.film("film.ts", "-c:v", "mpeg2video", "-r", "25", "-c:a", "mp2"),
}
