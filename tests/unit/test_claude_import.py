"""The SDK is 48 MB and most of a second: who asks no model does not load it."""

import subprocess
import sys

import pytest

CONSTRUCTED = """
import sys
from paywarden.decisions.claude import ClaudeAdviser
from paywarden.decisions.prompt import AdviceThresholds
ClaudeAdviser("key", AdviceThresholds(80, 80), model="m", max_tokens=1, effort="low", timeout_seconds=1)
"""
CONNECTED = "import sys, paywarden.decisions.claude_client\n"


@pytest.mark.parametrize(("code", "loaded"), [(CONSTRUCTED, "[]"), (CONNECTED, "['anthropic', 'httpx2']")])
def test_the_sdk_comes_with_the_first_call(code: str, loaded: str) -> None:
    code += "print([name for name in ('anthropic', 'httpx2') if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.strip() == loaded
