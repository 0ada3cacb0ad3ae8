"""The origins whose pages may show the trail in a frame, and read the API."""

from __future__ import annotations

import re
from typing import Final

from auditkit_django.conf import settings

#: As browsers write one: scheme and host in lower case, a port where it is not the scheme's, and nothing else. What went
#: through here can be written into a header.
_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")


def is_origin(text: object) -> bool:
    """Whether ``text`` is an origin ("https://app.example"), without path and without wildcard."""
    return isinstance(text, str) and _ORIGIN.fullmatch(text) is not None


def embed_origins() -> tuple[str, ...]:
    """``AUDITKIT["EMBED_ORIGINS"]``, without what is none (system check ``auditkit.E002`` names it)."""
    given = settings.EMBED_ORIGINS
    return () if isinstance(given, str) else tuple(one for one in given if is_origin(one))
