"""The data folder of one ``paywarden up``: made, kept out of version control, and held by one run at a time."""

import fcntl
import json
import os
import time
from pathlib import Path

from paywarden.kit.errors import ConfigurationError

_LOCK = "up.lock"
# A former run may be about to end.
_PATIENCE_SECONDS = 2.0
_GLANCE_SECONDS = 0.05


class DataFolder:
    """A folder that this process holds until it ends; the kernel lets go of it even after ``kill -9``."""

    def __init__(self, path: Path) -> None:
        """Make the folder if there is none. Raises ConfigurationError when it cannot be made or written."""
        self.path = path.absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            _keep_out_of_git(self.path)
        except OSError as error:
            raise ConfigurationError(
                f"the data folder {self.path} cannot be used: {error.strerror}; name another folder with --data"
            ) from None

    def claim(self, url: str, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        """Hold the folder and leave word where we run. Raises ConfigurationError when another run holds it."""
        deadline = time.monotonic() + patience_seconds
        while not self._lock_is_ours():
            if time.monotonic() > deadline:
                raise ConfigurationError(f"another paywarden already runs on {self.path}{self._holder()}")
            time.sleep(_GLANCE_SECONDS)
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, json.dumps({"pid": os.getpid(), "url": url}).encode(), 0)

    def _lock_is_ours(self) -> bool:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _holder(self) -> str:
        """Who holds it and where it answers, as far as that is written down."""
        try:
            told = json.loads(os.pread(self._lock, 4096, 0))
            return f": pid {told['pid']}, {told['url']}; end that one first, or name another folder with --data"
        except (ValueError, KeyError, TypeError):
            return ""


def _keep_out_of_git(folder: Path) -> None:
    """Keys lie here: a repository around the folder must not pick them up."""
    file = folder / ".gitignore"
    if not file.exists():
        file.write_text("*\n")
