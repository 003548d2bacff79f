"""Broken twins: a copy of the package with a deliberate mistake, for the child processes of one test."""

import shutil
from pathlib import Path

import paywarden

# File within the package, what stands there, and what the twin has instead.
Mistake = tuple[str, str, str]


def broken_package(folder: Path, *mistakes: Mistake) -> Path:
    """A folder for PYTHONPATH whose ``paywarden`` makes these mistakes. What stands there must stand there once."""
    copy = folder / "paywarden"
    # With what was compiled when it was installed: a file without a mistake keeps its time of writing, by which Python
    # knows its own. To compile everything again would take a second of each start.
    shutil.copytree(Path(paywarden.__file__).parent, copy)
    for name, right, wrong in mistakes:
        text = (copy / name).read_text("utf-8")
        assert text.count(right) == 1, f"{name} holds {right!r} {text.count(right)} times"
        (copy / name).write_text(text.replace(right, wrong), "utf-8")
        for compiled in (copy / name).parent.glob(f"__pycache__/{Path(name).stem}.*"):
            compiled.unlink()
    return folder
