"""Secrets never reach a log, however they got into the record; lines stay one JSON object each."""

import json
import logging
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest
import structlog

from paywarden import logs
from paywarden.logs import Scrubber

API_KEY = 'prov"key\\ünd-7f3a'
WEBHOOK_SECRET = "wh-secret-91c2"
DATABASE_URL = "postgresql://app:p%40ss-word-5@db.internal:5432/paywarden?sslmode=require"
SECRETS = [API_KEY, WEBHOOK_SECRET, DATABASE_URL]
OUR_KEY = "pw_test_01h455vb4pex5vsknk084sn02q_0123456789abcdef0123456789abcdef"
CANARIES = [
    API_KEY,
    WEBHOOK_SECRET,
    "p%40ss-word-5",
    OUR_KEY,
    OUR_KEY.replace("test", "live"),
    "sk-ant-api03-AbC_d-12345",
    "some.bearer-token/123=",
    "4111111111111111",
    "4111 1111 1111 1111",
    "5555-5555-5555-4444",
    "378282246310005",
    "s3cr3t-in-url",
]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, hook = root.handlers, root.level, sys.excepthook
    yield
    root.handlers, sys.excepthook = handlers, hook
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def leaks(text: str) -> list[str]:
    """The canaries that can still be read, also in the forms that JSON and repr give them."""
    forms = {
        canary: {canary, json.dumps(canary)[1:-1], repr(canary)[1:-1], json.dumps(repr(canary)[1:-1])[1:-1]}
        for canary in CANARIES
    }
    return [canary for canary, shown in forms.items() if any(form in text for form in shown)]


def write_everything(log: structlog.stdlib.BoundLogger) -> None:
    """Every canary, as a value, inside a sentence, nested, and in an exception with its traceback."""
    for canary in CANARIES:
        sentence = f"got Bearer {canary}" if canary.startswith("some.") else f"got {canary}, went on"
        if canary == "s3cr3t-in-url":
            sentence = f"GET https://user:{canary}@example.com/path failed"
        log.info(sentence, nested={"deep": [sentence, (sentence,)]}, data=sentence.encode(), header={"a": sentence})
        logging.getLogger("some.library").warning("said %s", sentence)
        try:
            raise ValueError(sentence)
        except ValueError:
            log.exception("broken", value=repr(sentence))
            logging.getLogger("some.library").exception("broken %r", sentence)


def test_no_canary_survives_and_every_line_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", SECRETS)
    write_everything(structlog.get_logger("paywarden.test"))
    written = capsys.readouterr()
    lines = written.err.splitlines()
    assert len(lines) == 4 * len(CANARIES)
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert leaks(written.err) == []
    assert written.out == ""


def test_the_same_log_without_the_scrubber_leaks_every_canary(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scrubber, "scrub", lambda self, line: line)
    logs.configure("debug", SECRETS)
    write_everything(structlog.get_logger("paywarden.test"))
    assert leaks(capsys.readouterr().err) == CANARIES


def test_an_uncaught_error_is_one_redacted_line() -> None:
    program = f"""
        import threading
        from paywarden import logs
        logs.configure("info", {SECRETS!r})
        thread = threading.Thread(target=lambda: 1 / len({OUR_KEY!r}[:0]))
        thread.start(); thread.join()
        raise RuntimeError({OUR_KEY!r} + " " + {API_KEY!r})
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False, timeout=60
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["critical", "critical"]
    assert "RuntimeError" in lines[1]["exception"]
    assert done.returncode == 1
    assert leaks(done.stderr) == []


def test_a_record_that_cannot_be_rendered_shows_none_of_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", SECRETS)
    logging.getLogger("some.library").warning("%d items", OUR_KEY)
    written = capsys.readouterr().err
    assert "could not be rendered" in written
    assert leaks(written) == []


def test_urls_of_requests_are_not_logged_at_info(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", [])
    logging.getLogger("httpx").info("HTTP Request: GET http://x/?token=1")
    logging.getLogger("httpcore.connection").debug("headers ...")
    logging.getLogger("httpx").warning("seen")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["seen"]


@pytest.mark.parametrize(
    "harmless",
    [
        "req_01h455vb4pex5vsknk084sn02q", "took 0.4532015112830366 s", "1234567890123456", "at 2030-01-01T12:00:00Z",
        "http://127.0.0.1:8000/v1/payments", "amount_minor=4111",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(harmless: str) -> None:
    kept = Scrubber(SECRETS).scrub(harmless)
    assert kept == harmless


def test_no_secrets_at_all_is_fine() -> None:
    assert Scrubber([]).scrub("as it is") == "as it is"
    assert Scrubber(["", "it"]).scrub("as it is") == "as it is"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql://u:first@second@db/x", "failed to resolve host 'second@db'"),
        ("postgresql://u:number/slashed@db/x", 'invalid integer value "number" for "port", database "slashed@db"'),
        ("postgresql://[u:bracketed@db/x", 'end of string in "[u:bracketed@db/x"'),
        ("mysql://u:another@db/x", 'missing "=" after "mysql://u:another@db/x" in connection info string'),
        ("postgresql://u:perc%40ented@db/x", "password is perc@ented"),
        ("host=db password='quoted words'", "got quoted words"),
        ("postgresql://db/x?user=u&password=in-the-query", "got in-the-query"),
    ],
)
def test_no_half_of_a_misread_password_gets_out(address: str, said: str) -> None:
    halves = ("first", "second", "number", "slashed", "bracketed", "another", "perc", "ented", "quoted", "in-the-query")
    shown = Scrubber([address]).scrub(said)
    assert not [half for half in halves if half in shown], shown


def test_a_database_that_is_away_is_told_once_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr(logs.time, "monotonic", lambda: now)
    logs.configure("info", [])
    pool, own = logging.getLogger("psycopg.pool"), structlog.get_logger("paywarden.flow.recovery")

    def noise() -> list[str]:
        for number in range(20):
            pool.warning("error connecting in %r: %s", f"pool-{number}", "no such file")
            pool.warning("discarding closed connection: %s", "<psycopg.AsyncConnection [BAD] at 0x7f0102030405>")
            own.warning("the database is not reachable; will look again")
        return [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]

    expected = [
        "error connecting in 'pool-0': no such file",
        "discarding closed connection: <psycopg.AsyncConnection [BAD]>",
        "the database is not reachable; will look again",
    ]
    assert noise() == expected
    now += 59
    assert noise() == []
    now += 2
    assert noise() == expected


def test_what_is_not_about_the_database_is_told_every_time(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", [])
    for _ in range(3):
        structlog.get_logger("paywarden.flow.recovery").warning("a due step failed")
    assert len(capsys.readouterr().err.splitlines()) == 3
