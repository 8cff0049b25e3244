"""Installs the official networks: fetch, verify, convert, put in place. Removes them, too."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stemd.tflite_models.errors import ModelError
from stemd.tflite_models.family import Release
from stemd.tflite_models.files import explained, locked, remove_if_empty, sha256_of, why_unreadable
from stemd.tflite_models.store.archive import extract, is_broken_off
from stemd.tflite_models.store.convert import checkpoint_sha256, convert
from stemd.tflite_models.store.download import RETRY_DELAY_S, Progress, download, split_user
from stemd.tflite_models.store.library import Library
from stemd.tflite_models.store.set_folder import write_set
from stemd.tflite_models.store.sets import ModelSet

URL_VARIABLE = "STEMD_MODELS_URL"
"""Environment variable: the folder that holds `NAME.tar.gz`, for mirrors."""

_STAGING_PREFIX = ".install-"


class Installer:
    """Puts official networks into a library.

    Parameters
    ----------
    library : Library
        Receives them.
    on_progress : callable
        Called while an archive is downloaded; see `Progress`.
    url : str, optional
        The folder that holds the archives; by default the environment's `STEMD_MODELS_URL`, or
        else the official release.
    retry_delay_s : float
        Pause after a broken connection.
    """

    def __init__(
        self,
        library: Library,
        on_progress: Progress = lambda *_: None,
        url: str | None = None,
        retry_delay_s: float = RETRY_DELAY_S,
    ) -> None:
        self._library = library
        self._mirror = url or os.environ.get(URL_VARIABLE)
        self._on_progress = on_progress
        self._retry_delay_s = retry_delay_s

    def install(
        self, name: str, source: Path | None = None, allow_unverified: bool = False
    ) -> ModelSet:
        """Install a set, replacing an installed one as a whole or not at all.

        Parameters
        ----------
        name : str
            A release, as `4stems`.
        source : Path, optional
            An archive or an unpacked checkpoint folder; without it the archive is downloaded.
        allow_unverified : bool
            Take a source whose sha256 is not the published one. A download is always verified.

        Raises
        ------
        ModelError
            It could not be done. Then, as after any other exception, what was installed before
            still is, and nothing else is left.
        """
        release = self._library.release(name)
        target = self._library.installed_dir(name)
        origin = str(source or split_user(self._url_of(release))[0])
        with (
            explained(f"installing {name}", "XDG_DATA_HOME"),
            _staging(target.parent) as staging,
        ):
            folder, is_verified = self._obtain(release, source, allow_unverified, staging)
            found = checkpoint_sha256(release, folder)
            if not (allow_unverified or is_verified):
                _check_all(origin, found, release)
            write_set(target, *convert(release, folder, found, "fp32", origin, is_verified))
        return self._library.find(name)

    def remove(self, name: str) -> Path:
        """Remove a set that was installed, and give the folder where it was.

        Raises
        ------
        ModelError
            None is installed, or it cannot be removed.
        """
        target = self._library.installed_dir(name)
        if not os.path.lexists(target):
            raise ModelError(
                f"{name} is not installed: no {target}; bundled networks cannot be removed"
            )
        with explained(f"removing {name}", "XDG_DATA_HOME"), _staging(target.parent) as staging:
            target.rename(staging / name)
        return target

    def _obtain(
        self, release: Release, source: Path | None, allow_unverified: bool, staging: Path
    ) -> tuple[Path, bool]:
        """Return a folder with the checkpoint's files; whether the published archive held them."""
        if source is None:
            archive = self._download(release, staging)
            extract(archive, release.files, staging, release.most_bytes)
            archive.unlink()  # a hundred megabytes that the graphs may need
            return staging, True
        if reason := why_unreadable(source):
            raise ModelError(
                f"{source}: {reason}; --from takes an archive or a checkpoint's folder"
            )
        if source.is_dir():
            return source, False
        sha256 = sha256_of(source)
        if not allow_unverified:
            if sha256 != release.archive_sha256 and is_broken_off(source, release.most_bytes):
                raise ModelError(f"{source}: the archive is broken off; fetch it again")
            _check(str(source), sha256, release.archive_sha256)
        extract(source, release.files, staging, release.most_bytes)
        return staging, sha256 == release.archive_sha256

    def _download(self, release: Release, staging: Path) -> Path:
        if not self._url_of(release).startswith(("http://", "https://")):
            mirror, _ = split_user(self._mirror or "")
            raise ModelError(
                f"{URL_VARIABLE} is {mirror}, and must begin with http:// or https://; for a file "
                "on this machine, use --from"
            )
        return download(
            self._url_of(release),
            release.archive_sha256,
            staging,
            self._on_progress,
            self._retry_delay_s,
            release.most_bytes,
        )

    def _url_of(self, release: Release) -> str:
        folder = self._mirror or release.publication.url
        return f"{folder.rstrip('/')}/{release.archive}"


def _check_all(origin: str, found: Mapping[str, str], release: Release) -> None:
    if not release.checkpoint_sha256:
        raise ModelError(
            f"{origin}: of {release.name} only the archive can be verified; give "
            f"{release.archive}, or use --allow-unverified if you trust these files"
        )
    for name, sha256 in release.checkpoint_sha256.items():
        _check(f"{origin}/{name}", found[name], sha256)


def _check(place: str, found: str, expected: str) -> None:
    if found != expected:
        raise ModelError(
            f"{place}: has sha256 {found}, expected {expected}; it is not the official file, "
            "use --allow-unverified if you trust it"
        )


@contextmanager
def _staging(models: Path) -> Iterator[Path]:
    """Yield an empty folder on the models' disk, after removing what a crash left behind."""
    models.mkdir(parents=True, exist_ok=True)
    try:
        with locked(models, wait=False):
            for stale in models.glob(f"{_STAGING_PREFIX}*"):
                shutil.rmtree(stale, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=_STAGING_PREFIX, dir=models) as staging:
                yield Path(staging)
    finally:
        remove_if_empty(models, models.parent)
