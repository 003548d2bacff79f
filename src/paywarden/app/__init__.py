"""The composition root: only here may everything be imported, and inside functions, so that ``--help`` is fast."""

import errno
import os
import sys

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def main() -> None:
    """The ``paywarden`` command."""
    from paywarden.app.commands import build

    # Whoever closed it has no use for it; what was asked for is done all the same.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  for as long as the process lives
    try:
        try:
            build()()
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        sys.stderr.write(
            f"paywarden: not everything could be written: {error.strerror}; what was asked for may be done\n"
        )
        sys.exit(1)
