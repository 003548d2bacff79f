"""Child processes that end when the process that started them ends, even by ``kill -9``.

Linux ties this to the *thread* that forked: start such children from the main thread.
"""

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def ended_with_parent(by: signal.Signals) -> Callable[[], None]:
    """A ``preexec_fn`` after which the kernel sends ``by`` to the child when its parent is gone."""
    parent = os.getpid()

    def arrange() -> None:
        if _LIBC.prctl(_PR_SET_PDEATHSIG, int(by), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
        if os.getppid() != parent:
            os.kill(os.getpid(), by)

    return arrange
