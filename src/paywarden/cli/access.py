"""Where the service is and which key is presented, found without asking more than needed."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from paywarden.client import is_loopback
from paywarden.kit.errors import InvalidFieldError
from paywarden.settings import Settings

DEFAULT_URL = "http://127.0.0.1:8000"
START_IT = "Start it with `paywarden up`, or name its address: --url"
KEY_VARIABLE = "PAYWARDEN_API_KEY"


@dataclass(frozen=True, slots=True)
class Access:
    """An address and a key for it; no key when none was found."""

    url: str
    key: str | None


def find_access(url: str | None, data: Path | None) -> Access:
    """``--url``, else the address that `up` left in the data folder, else port 8000; the key of environment or folder.

    Raises InvalidFieldError, ConfigurationError.
    """
    if url is not None and not url.startswith(("http://", "https://")):
        raise InvalidFieldError("--url", "must start with http:// or https://")
    key = os.environ.get(KEY_VARIABLE)
    if url is not None and key:
        return Access(url, key)
    folder = data_folder(data)
    ready_url = ready_line(folder).get("url")
    chosen = url or ready_url or DEFAULT_URL
    return Access(chosen, key or _folder_key(folder, chosen, ready_url))


def data_folder(data: Path | None) -> Path:
    """``--data``, else the configured folder."""
    return data if data is not None else Settings.load().data_dir


def ready_line(folder: Path) -> dict[str, str | None]:
    """What the last `paywarden up` of this folder said when it was ready; empty if there was none."""
    try:
        line = json.loads((folder / "ready.json").read_text())
    except (OSError, ValueError):
        return {}
    return line if isinstance(line, dict) else {}


def _folder_key(folder: Path, url: str, ready_url: str | None) -> str | None:
    """The administrator's key of the folder, which is for its own service and for nobody else on the network."""
    if url != ready_url and not is_loopback(url):
        return None
    try:
        return (folder / "admin.key").read_text().strip() or None
    except OSError:
        return None
