"""How an example's file becomes a module that speaks to a running service."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.stack import Stack

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def example() -> Callable[[str, Stack], ModuleType]:
    """Load ``examples/NAME.py``, pointed at a service."""

    def load(name: str, stack: Stack) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.URL = stack.url  # type: ignore[attr-defined]
        return module

    return load
