"""The log itself: its checkpoint, proofs between checkpoints, tiles, and its verification."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any, Final

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from auditkit_django.access.grant import READ, VERIFY
from auditkit_django.api import described
from auditkit_django.api.base import ApiView
from auditkit_django.api.problems import ProblemError, malformed, not_found
from auditkit_django.ledger.tiles import ENTRIES, WIDTH, tile_path
from auditkit_django.log import prove
from auditkit_django.log.tile_reading import tile
from auditkit_django.log.verify import verify
from auditkit_django.models import Checkpoint
from auditkit_django.publishing.cosigned import cosigned_note
from auditkit_django.query.state import newest_checkpoint

MAX_CHECKED: Final = 1_000_000
_CHECKED: Final = 50_000
_MAX_NOTES: Final = 20
_TILE: Final = re.compile(r"(?P<level>entries|[0-7])/(?P<number>(?:x\d{3}/){0,5}\d{3})(?:\.p/(?P<width>\d{1,3}))?")


class _Sealed(ApiView):
    """What leads to the newest checkpoint."""

    scopes = {"GET": VERIFY}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        _check_unbound(self)

    def checkpoint(self) -> Checkpoint:
        """The newest one, of the newest log; 404 where nothing was sealed."""
        found = newest_checkpoint(self.tenant)
        if found is None:
            raise not_found()
        return found


class NewestCheckpoint(_Sealed):
    """The newest signed checkpoint, as a C2SP signed note."""

    @described.read_checkpoint
    def get(self, request: Request, **kwargs: Any) -> HttpResponseBase:
        return HttpResponse(cosigned_note(self.checkpoint()), content_type="text/plain; charset=utf-8")


class Consistency(_Sealed):
    """That the newest checkpoint extends an older one."""

    parameters = frozenset({"old_size"})

    @described.prove_consistency
    def get(self, request: Request, **kwargs: Any) -> Response:
        text = request.query_params.get("old_size", "")
        checkpoint = self.checkpoint()
        if not re.fullmatch(r"[0-9]{1,18}", text) or not 0 < int(text) <= checkpoint.size:
            raise malformed(f"old_size: got {text[:20]!r}, wanted 1 to {checkpoint.size}", parameter="old_size")
        hashes = prove.consistency(int(text), checkpoint)
        return Response(
            {
                "old_size": int(text),
                "new_size": checkpoint.size,
                "hashes": [b64encode(one).decode() for one in hashes],
                "checkpoint": checkpoint.note,
            }
        )


class Tiles(_Sealed):
    """The tree, and the entries, in the paths of C2SP tlog-tiles."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if kwargs["path"].startswith(ENTRIES) and READ not in self.grant.scopes:
            raise ProblemError(403, "scope_missing", f"The key lacks the scope {READ}.", scope=READ)

    @described.read_tile
    def get(self, request: Request, *, path: str, **kwargs: Any) -> HttpResponseBase:
        match = _TILE.fullmatch(path)
        if match is None:
            raise not_found()
        level = ENTRIES if match["level"] == ENTRIES else int(match["level"])
        number = int(re.sub(r"[x/]", "", match["number"]))
        width = int(match["width"]) if match["width"] else WIDTH
        # One address for each tile: x000/001 is none.
        if not 0 < width <= WIDTH or tile_path(level, number, width=width) != f"tile/{path}":
            raise not_found()
        data = tile(self.checkpoint(), level, number, width=width)
        if data is None:
            raise not_found()
        return HttpResponse(data, content_type="application/octet-stream")


class Verification(ApiView):
    """The log checked against itself, its checkpoints, and notes that were kept elsewhere."""

    scopes = {"POST": VERIFY}
    rate = "export"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        _check_unbound(self)

    @described.verify_log
    def post(self, request: Request, **kwargs: Any) -> Response:
        body = request.data if self.has_body else {}
        if not isinstance(body, dict) or body.keys() - {"max_entries", "since"}:
            raise malformed("body: wanted an object with some of max_entries, since")
        most, since = body.get("max_entries", _CHECKED), body.get("since", [])
        if type(most) is not int or not 0 < most <= MAX_CHECKED:
            raise malformed(f"max_entries: got {most!r:.20}, wanted 1 to {MAX_CHECKED}")
        if not isinstance(since, list) or len(since) > _MAX_NOTES or not all(isinstance(one, str) for one in since):
            raise malformed(f"since: wanted a list of at most {_MAX_NOTES} signed notes")
        with self.acting():
            report = verify(self.tenant, max_entries=most, since=since or None)
        return Response(report.as_json())


def _check_unbound(view: ApiView) -> None:
    """The tree, its size and what is wrong with it are of everybody's events."""
    if view.grant.only_actor is not None:
        raise not_found()
