"""A small model in every respect but its depth: checkpoints, archives and releases of it."""

import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from stemd.tflite_models.family import Release
from stemd.tflite_models.spleeter.architecture import Activations, Architecture
from stemd.tflite_models.spleeter.leveldb import MAGIC, masked_crc32c
from stemd.tflite_models.spleeter.releases import DATA_FILE, INDEX_FILE
from stemd.tflite_models.spleeter.releases import release as spleeter_release

FILTERS = (2, 3, 4, 3, 2, 3)
OFFICIAL_2 = Activations("leaky_relu", "relu")
OFFICIAL_4 = Activations("elu", "elu")
STEMS = ("vocals", "accompaniment")
ARCHITECTURE = Architecture(STEMS, OFFICIAL_2, FILTERS)
HEADER = b"\x08\x01\x1a\x02\x08\x01"  # one shard, little-endian, made by version 1


def variables(
    stems: int = 2, seed: int = 0, filters: tuple[int, ...] = FILTERS
) -> dict[str, np.ndarray]:
    """Give random weights under the names of an official checkpoint, nothing zero or one."""
    rng = np.random.default_rng(seed)
    down, up = filters, (*filters[-2::-1], 1)
    numbers = {"conv2d": 0, "conv2d_transpose": 0, "batch_normalization": 0}
    found: dict[str, np.ndarray] = {}

    def add(kind: str, **parts: np.ndarray) -> None:
        number = numbers[kind]
        numbers[kind] += 1
        layer = f"{kind}_{number}" if number else kind
        found.update({f"{layer}/{part}": array for part, array in parts.items()})

    def kernel(*shape: int, inputs: int) -> np.ndarray:
        return normal(*shape) * 3 / np.sqrt(shape[0] * shape[1] * inputs)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape)

    for _ in range(stems):
        for inputs, outputs in zip((2, *down), down, strict=False):
            add("conv2d", kernel=kernel(5, 5, inputs, outputs, inputs=inputs), bias=normal(outputs))
        add("conv2d", kernel=kernel(4, 4, 1, 2, inputs=1), bias=normal(2))
        for inputs, outputs in zip((down[-1], *(2 * n for n in up)), up, strict=False):
            k = kernel(5, 5, outputs, inputs, inputs=inputs)
            add("conv2d_transpose", kernel=k, bias=normal(outputs))
        for channels in (*down, *up):
            add(
                "batch_normalization",
                gamma=rng.uniform(0.5, 1.5, channels) * rng.choice([-1, 1], channels),
                beta=normal(channels) / 3,
                moving_mean=normal(channels) / 3,
                moving_variance=rng.uniform(0.3, 2, channels),
            )
    return {name: array.astype(np.float32) for name, array in found.items()}


def write_checkpoint(
    folder: Path, arrays: Mapping[str, np.ndarray], block_bytes: int = 700
) -> Path:
    """Write a checkpoint as TensorFlow does, with an index of several blocks."""
    folder.mkdir(parents=True, exist_ok=True)
    records, data = [(b"", HEADER)], bytearray()
    for name in sorted(arrays):
        records.append((name.encode(), entry(arrays[name], len(data))))
        data += arrays[name].tobytes()
    (folder / DATA_FILE).write_bytes(data)
    (folder / INDEX_FILE).write_bytes(table(records, block_bytes))
    return folder


def entry(array: np.ndarray, offset: int, dtype: int = 1) -> bytes:
    """Give a BundleEntryProto."""
    shape = b"".join(_field(2, _field(1, n)) for n in array.shape)
    sizes = _field(4, offset) + _field(5, array.nbytes)
    return _field(1, dtype) + _field(2, shape) + sizes + b"\x35abcd"


def table(records: Iterable[tuple[bytes, bytes]], block_bytes: int = 700) -> bytes:
    """Give a LevelDB table: keys share prefixes, a restart every third entry."""
    out, handles, pending = bytearray(), [], []
    for record in records:
        pending.append(record)
        if sum(len(key) + len(value) for key, value in pending) >= block_bytes:
            handles.append((pending[-1][0], _append(out, block(pending))))
            pending = []
    if pending:
        handles.append((pending[-1][0], _append(out, block(pending))))
    footer = _append(out, block([])) + _append(out, block(handles))
    return bytes(out) + footer.ljust(40, b"\0") + MAGIC


def block(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Give a block without its trailer."""
    out, last, restarts = bytearray(), b"", []
    for n, (key, value) in enumerate(entries):
        shared = 0 if n % 3 == 0 else _shared(last, key)
        if n % 3 == 0:
            restarts.append(len(out))
        out += _varint(shared) + _varint(len(key) - shared) + _varint(len(value))
        out += key[shared:] + value
        last = key
    numbers = [*(restarts or [0]), len(restarts or [0])]
    return bytes(out) + b"".join(n.to_bytes(4, "little") for n in numbers)


def sealed(content: bytes, kind: int = 0) -> bytes:
    """Add a block's trailer."""
    typed = content + bytes([kind])
    return typed + masked_crc32c(typed).to_bytes(4, "little")


def write_archive(path: Path, folder: Path, prefix: str = "./") -> Path:
    """Pack a checkpoint as the official archives are."""
    with tarfile.open(path, "w:gz") as tar:
        add_member(tar, f"{prefix}checkpoint", b"model_checkpoint_path: 'model'\n")
        for name in (DATA_FILE, INDEX_FILE):
            add_member(tar, prefix + name, (folder / name).read_bytes())
    return path


def add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add an ordinary file."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def release(folder: Path, archive: Path, name: str = "2stems") -> Release:
    """Make a release of which these are the official files."""
    return spleeter_release(
        name,
        ARCHITECTURE,
        sha256(archive),
        {file: sha256(folder / file) for file in (DATA_FILE, INDEX_FILE)},
    )


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _append(out: bytearray, content: bytes) -> bytes:
    handle = _varint(len(out)) + _varint(len(content))
    out += sealed(content)
    return handle


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _shared(a: bytes, b: bytes) -> int:
    return next(
        (n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )
