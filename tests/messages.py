"""All messages that the program can print, read from its source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

INTERNAL = {
    # Of what only a mistake in stemd itself brings about.
    "precision=…: a plain graph is fp32 or fp16",
    "n_fft must be a multiple of hop_length, at least … times it (got … and …)",
    "model_bins must be from 1 to … (got …)",
    "stride must be from 1 to … (got …)",
    "T=… is not from 1 to …",
    "… has shape …, expected …",
    "… … is not float32 (…, frames)",
    "… slots for … outputs",
    "a link of … inputs and outputs … for a client of … inputs and … outputs",
    "… frames are more than the output ring has room for",
    # Another message, with what a program said last.
    "… (…: …)",
}


SPEAKERS = ("self.fail", "click.BadParameter", "hint", "bad")
"""What takes a message, besides errors and the log."""

SECOND = ("RequestError", "hint", "bad")
"""Whose text is not their first argument."""


def plain() -> set[str]:
    """Return messages that speak for themselves: they say what is wrong and what to do about it.

    All others need a row in docs/troubleshooting.md.
    """
    return set((ROOT / "tests" / "plain_messages.txt").read_text().splitlines())


def messages() -> set[str]:
    """Each with an ellipsis for what is filled in."""
    found = set()
    for package in ("daemon", "tflite_models", "dsp"):
        for path in (ROOT / package).rglob("*.py"):
            found |= set(_of(ast.parse(path.read_text())))
    return found - INTERNAL


def _of(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Yield) and " " in (text := _text(node.value)):
            yield _tidy(text)
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = ast.unparse(node.func)
        logs = name in ("log.info", "log.warning", "log.error")
        if logs or name.endswith("Error") or name in SPEAKERS:
            text = _text(node.args[1 if name in SECOND else 0])
            if text and text.strip("…"):
                yield _tidy(text)


def _text(node: ast.AST) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return re.sub(r"%(\.\d+)?[sdfr]", "…", text).replace("%%", "%")
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) for part in parts)
        case ast.BinOp(left=left, right=right):
            return _text(left) + _text(right)
    return "…"


def _tidy(text: str) -> str:
    return re.sub("…+", "…", text.replace("\n", " "))
