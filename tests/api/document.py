"""``python -m tests.api.document``: the OpenAPI document as ``docs/openapi.json`` has it."""

from __future__ import annotations

import json
import os


def text() -> str:
    """The document of today."""
    from auditkit_django.api.views.document import openapi

    return json.dumps(openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
    print(text(), end="")
