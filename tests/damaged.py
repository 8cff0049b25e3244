"""Networks that cannot be used."""

from pathlib import Path

from stemd.tflite_models.store.manifest import MANIFEST


def damaged_four_stems(data_home: Path) -> Path:
    """Put a damaged 4-stem set where an installed one hides what comes along; gives its folder."""
    folder = data_home / "stemd" / "models" / "4stems"
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text("{")
    return folder
