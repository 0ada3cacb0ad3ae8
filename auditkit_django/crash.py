"""Places where the crash tests kill the process. Nothing unless ``AUDITKIT_CRASH_AT`` is set when it starts."""

from __future__ import annotations

import os
import signal

_CRASH_AT = os.environ.get("AUDITKIT_CRASH_AT", "")


def crash_point(name: str) -> None:
    """Die by SIGKILL here, if the environment asked for ``name`` when the process started."""
    if _CRASH_AT and name == _CRASH_AT:
        os.kill(os.getpid(), signal.SIGKILL)
