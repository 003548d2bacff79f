"""``python -m paywarden.sandbox``: run the sandbox provider. Its key and webhook secret come from the environment."""

import argparse
import asyncio
import os
import sqlite3
import sys
from pathlib import Path

from paywarden.sandbox.server import Options, claim, serve


def main() -> int:
    """Exit status 0 after SIGTERM, 2 when it is not configured, 1 when its port or book is taken."""
    parser = argparse.ArgumentParser(prog="python -m paywarden.sandbox", description="A payment provider in a box.")
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 picks a free one")
    parser.add_argument("--data", type=Path, required=True, help="folder of its book, sandbox.sqlite3")
    parser.add_argument("--webhook-url", help="where its events go")
    parser.add_argument("--webhook-delay", type=float, help="seconds from an answer to its event (at first 2)")
    arguments = parser.parse_args()
    api_key, secret = os.environ.get("PAYMENT_API_KEY"), os.environ.get("PAYMENT_WEBHOOK_SECRET")
    if not api_key or not secret:
        sys.stderr.write("PAYMENT_API_KEY and PAYMENT_WEBHOOK_SECRET must be set in the environment\n")
        return 2
    options = Options(arguments.port, arguments.data, api_key, secret, arguments.webhook_url, arguments.webhook_delay)
    try:
        listening, book = claim(options)
    except (OSError, sqlite3.OperationalError) as error:
        sys.stderr.write(f"cannot start: {error}\n")
        return 1
    asyncio.run(serve(options, listening, book))
    return 0


if __name__ == "__main__":
    sys.exit(main())
