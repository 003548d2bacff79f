"""Schemathesis reads the OpenAPI document and tries every operation: good, bad and chained requests (R18, short)."""

import asyncio
import contextlib

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.failures import FailureGroup
from schemathesis.schemas import BaseSchema

from paywarden.flow import advance
from tests.doors.door import Door

GOOD_EXAMPLES, BAD_EXAMPLES, CHAINS = 4, 8, 8
# An absent id, a missing role or a denied payment is a proper answer to a request that is formally right.
NAMES = [
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance", "negative_data_rejection", "missing_required_header", "ignored_auth",
]  # fmt: skip
_QUICK = settings(
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def try_every_operation(url: str, key: str) -> int:
    """Good and bad requests to every operation; how many operations there were. Raises what schemathesis finds."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    checks, headers = CHECKS.get_by_names(NAMES), {"Authorization": f"Bearer {key}"}
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path.startswith("/v1/tenant"):
            continue
        for mode, examples in ((GenerationMode.POSITIVE, GOOD_EXAMPLES), (GenerationMode.NEGATIVE, BAD_EXAMPLES)):

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(_QUICK, max_examples=examples)
            def attempt(case: schemathesis.Case) -> None:
                case.call_and_validate(base_url=url, headers=headers, checks=checks)

            # Of an operation that takes nothing, nothing can be wrong.
            with contextlib.suppress(Unsatisfiable) if mode is GenerationMode.NEGATIVE else contextlib.nullcontext():
                attempt()
        tried += 1
    return tried


def chain(url: str, key: str) -> None:
    """Requests that use what earlier ones answered."""
    schema: BaseSchema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    machine = schema.as_state_machine()

    class Chained(machine):  # type: ignore[misc, valid-type]
        def get_call_kwargs(self, case: schemathesis.Case) -> dict[str, object]:
            return {"base_url": url, "headers": {"Authorization": f"Bearer {key}"}}

        def validate_response(self, response: schemathesis.Response, case: schemathesis.Case, **_: object) -> None:
            case.validate_response(response, checks=CHECKS.get_by_names(NAMES))

    Chained.run(settings=settings(_QUICK, max_examples=CHAINS, stateful_step_count=6))


async def test_every_operation_answers_as_documented(served: Door) -> None:
    key = await served.admin_key()
    tried = await asyncio.to_thread(try_every_operation, str(served.local.base_url), key)
    assert tried >= 40


async def test_chained_requests_answer_as_documented(served: Door) -> None:
    key = await served.admin_key()
    await asyncio.to_thread(chain, str(served.local.base_url), key)


async def test_the_run_notices_an_operation_that_fails(served: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twin: looking at a payment breaks."""

    async def broken(*_: object) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(advance, "find", broken)
    key = await served.admin_key()
    with pytest.raises(FailureGroup):
        await asyncio.to_thread(try_every_operation, str(served.local.base_url), key)
