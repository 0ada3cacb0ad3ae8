"""Single tiles of a sealed log from the database, as ``log.tiles_export`` writes them to files."""

from __future__ import annotations

from typing import Final

from django.db import DEFAULT_DB_ALIAS

from auditkit_django.ledger.ranges import is_hash
from auditkit_django.ledger.tiles import ENTRIES, HEIGHT, WIDTH, format_bundle
from auditkit_django.log.reading import any_text
from auditkit_django.models import Checkpoint, Entry, Tile

_MAX_LEVEL: Final = 7


def tile(
    checkpoint: Checkpoint, level: int | str, number: int, *, width: int = WIDTH, using: str = DEFAULT_DB_ALIAS
) -> bytes | None:
    """
    The tile ``number`` of ``level`` (``"entries"``: its entries), ``width`` wide, of the log under ``checkpoint``: one query.

    None where there is none: beyond the checkpoint, another width than the tile has, pruned, or altered in the database.
    """
    height = 0 if level == ENTRIES else level
    if not isinstance(height, int) or not 0 <= height <= _MAX_LEVEL or number < 0:
        return None
    nodes = checkpoint.size >> HEIGHT * height
    start = number * WIDTH
    if not 0 < width <= WIDTH or start + width > nodes:
        return None
    with any_text(using):
        if height:
            rows = Tile.objects.using(using).filter(tenant=checkpoint.tenant, epoch=checkpoint.epoch, level=height)
            tiles = rows.filter(number__gte=start, number__lt=start + width).order_by("number")
            found = list(tiles.values_list("hash", flat=True))
        else:
            entries = Entry.objects.using(using).filter(tenant=checkpoint.tenant, epoch=checkpoint.epoch)
            column = "body" if level == ENTRIES else "leaf_hash"
            leaves = entries.filter(seq__gte=start, seq__lt=start + width).order_by("seq")
            found = list(leaves.values_list(column, flat=True))
    values = [bytes(value) if isinstance(value, bytes | memoryview) else b"" for value in found]
    if len(values) != width:
        return None
    if level == ENTRIES:
        return format_bundle(values)
    return b"".join(values) if all(map(is_hash, values)) else None
