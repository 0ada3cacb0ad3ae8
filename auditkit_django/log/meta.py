"""
The log of checkpoints: whoever publishes it covers the logs of all tenants, and tells nobody their names.
"""

from __future__ import annotations

from typing import Final

#: Whose log it is. No key of a customer: neither a slug, a number nor a UUID has a colon.
META_TENANT: Final = "system:checkpoints"
