"""Rebuilds the networks that ship with the program, from the official checkpoint.

For maintainers: `python -m stemd.tflite_models.store.bundle CHECKPOINT_DIR [OUT_DIR]`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.families import releases
from stemd.tflite_models.store.convert import checkpoint_sha256, convert
from stemd.tflite_models.store.manifest import Manifest
from stemd.tflite_models.store.set_folder import write_set

NAME = "2stems"
USAGE = "python -m stemd.tflite_models.store.bundle CHECKPOINT_DIR [OUT_DIR]"


def build(checkpoint: Path, out_dir: Path) -> Manifest:
    """Write the set into `out_dir/2stems`, the same bytes each time.

    Raises
    ------
    ModelError
        The checkpoint is not the official one.
    """
    release = releases()[NAME]
    found = checkpoint_sha256(release, checkpoint)
    draft, graphs = convert(release, checkpoint, found, "fp16")
    if not draft.provenance.verified:
        raise ModelError(f"{checkpoint}: is not the official {NAME} checkpoint; nothing is bundled")
    return write_set(out_dir / NAME, draft, graphs, plain_names=True)


def main(arguments: list[str]) -> int:
    """Run from the command line; gives the exit code."""
    if len(arguments) not in (1, 2):
        sys.stderr.write(f"usage: {USAGE}\n")
        return 2
    checkpoint, *rest = map(Path, arguments)
    try:
        manifest = build(checkpoint, *(rest or [Path(__file__).parents[1]]))
    except (ModelError, OSError) as error:
        sys.stderr.write(f"bundle: {error}\n")
        return 1
    sys.stdout.write(manifest.to_json())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
