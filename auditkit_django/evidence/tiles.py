"""A tenant's log as tiles (C2SP tlog-tiles), for mirrors and monitors: the files are written by ``log.tiles_export``."""

from __future__ import annotations

from pathlib import Path

from django.db import DEFAULT_DB_ALIAS

from auditkit_django.log.tiles_export import TilesExport, export_tiles, newest_checkpoint
from auditkit_django.recording.record import record


def export(tenant: str, folder: Path, *, using: str = DEFAULT_DB_ALIAS) -> TilesExport:
    """
    Bring ``folder`` up to the newest checkpoint of the tenant's log.

    The export records itself as ``audit.log.exported`` before the first file.

    Raises:
        UnknownTenantError: The tenant has no log.
        SealError: The log was never sealed or is not the one that was signed, or the folder has another.
    """
    checkpoint = newest_checkpoint(tenant, using=using)
    record(
        action="audit.log.exported",
        tenant=tenant,
        metadata={"format": "tiles", "count": checkpoint.size},
        using=using,
    )
    return export_tiles(checkpoint, folder, using=using)
