"""``manage.py auditkit_apikey``: make, list, rotate and revoke API keys."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from auditkit_django.access.api_keys import create_key, keys_of, revoke_key, rotate_key
from auditkit_django.access.grant import SCOPES
from auditkit_django.access.states import state_of
from auditkit_django.exceptions import MalformedError
from auditkit_django.management.arguments import aware_moment
from auditkit_django.models import ApiKey
from auditkit_django.recording.context import context
from auditkit_django.templatetags.auditkit_visible import visible
from auditkit_django.tenancy import tenant_key


class Command(BaseCommand):
    help = (
        "create: make an API key and print its text, once, and nothing else, to standard output. list: print a line for each key."
        " rotate: make a key's successor and print its text. revoke: have a key refused from the next request on."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_subparsers(dest="what", required=True)
        create = what.add_parser("create", help="make a key")
        create.add_argument("name", help='what it is for: "billing service"')
        create.add_argument(
            "--scope",
            action="append",
            required=True,
            choices=tuple(SCOPES),
            help="what it may; may be given more than once",
        )
        create.add_argument(
            "--expires", metavar="TIME", help="until when, with time zone (default: AUDITKIT['API_KEY_DAYS'])"
        )
        create.add_argument(
            "--network", action="append", default=[], help="where it may be used from; may be given more than once"
        )
        listing = what.add_parser("list", help="list keys, newest first")
        listing.add_argument("--json", action="store_true", dest="as_json", help="as a JSON list")
        rotate = what.add_parser("rotate", help="make a key's successor")
        rotate.add_argument(
            "--overlap-hours",
            type=float,
            default=24,
            metavar="N",
            help="how long the old one stays valid (default: 24)",
        )
        revoke = what.add_parser("revoke", help="have a key refused")
        revoke.add_argument("--reason", default="", help="why; it is recorded")
        for changing in (rotate, revoke):
            changing.add_argument("prefix", help="the 8 characters after ak_live_")
        for each in (create, listing, rotate, revoke):
            whose = each.add_mutually_exclusive_group(required=True)
            whose.add_argument("--tenant", help="key of the tenant that the key is of")
            whose.add_argument("--installation", action="store_true", help="the key is of the whole installation")

    def handle(self, *args: Any, what: str, tenant: str | None, **options: Any) -> None:
        try:
            # Not having said whose it is is refused by the parser; with --installation there is no tenant.
            whose = None if options["installation"] else tenant_key(tenant)
            with context(source="command"):
                getattr(self, f"_{what}")(whose, options)
        except MalformedError as exc:
            raise CommandError(str(exc)) from exc

    @sensitive_variables("text")
    def _create(self, tenant: str | None, options: dict[str, Any]) -> None:
        expires = options["expires"]
        expires_at = aware_moment(expires) if expires is not None else None
        if expires is not None and expires_at is None:
            raise CommandError(f"expires: got {expires!r}, wanted a time with time zone, 2026-11-25T09:30:00+00:00")
        key, text = create_key(
            options["name"],
            tenant=tenant,
            scopes=options["scope"],
            expires_at=expires_at,
            networks=options["network"],
        )
        self._print(key, text)

    def _list(self, tenant: str | None, options: dict[str, Any]) -> None:
        keys = keys_of(tenant)
        if options["as_json"]:
            self.stdout.write(json.dumps([_as_json(key) for key in keys], indent=2))
            return
        for key in keys:
            state = state_of(key, timezone.now())
            scopes, used = ",".join(key.scopes), _iso(key.last_used_at) or "never"
            self.stdout.write(f"{key.prefix}  {state:<12}  expires {_iso(key.expires_at) or 'never'}  used {used}  {scopes}  "
                              f"{visible(key.name)}")  # fmt: skip
        if not keys:
            self.stderr.write("There are none.")

    @sensitive_variables("text")
    def _rotate(self, tenant: str | None, options: dict[str, Any]) -> None:
        old = _key(tenant, options["prefix"])
        try:
            overlap = timedelta(hours=options["overlap_hours"])
        except (OverflowError, ValueError) as exc:
            raise CommandError(f"overlap: got {options['overlap_hours']} hours, wanted fewer") from exc
        key, text = rotate_key(old, overlap=overlap)
        self.stderr.write(f"{old.prefix} is valid until {_iso(old.expires_at)}.")
        self._print(key, text)

    def _revoke(self, tenant: str | None, options: dict[str, Any]) -> None:
        key = _key(tenant, options["prefix"])
        revoke_key(key, reason=options["reason"])
        self.stderr.write(f"{visible(key)} is revoked.")

    @sensitive_variables("text")
    def _print(self, key: ApiKey, text: str) -> None:
        self.stdout.write(text)
        self.stderr.write(
            f"{visible(key)}, valid until {_iso(key.expires_at) or 'it is revoked'}. It is shown this once."
        )


def _key(tenant: str | None, prefix: str) -> ApiKey:
    key = ApiKey.objects.filter(tenant=tenant, prefix=prefix).first()
    if key is None:
        whose = "the installation" if tenant is None else f"tenant {tenant!r}"
        raise CommandError(f"prefix: got {prefix!r:.40}, wanted that of a key of {whose}")
    return key


def _as_json(key: ApiKey) -> dict[str, Any]:
    return {
        "prefix": key.prefix,
        "name": key.name,
        "tenant": key.tenant,
        "scopes": key.scopes,
        "networks": key.networks,
        "state": state_of(key, timezone.now()),
        **{name: _iso(getattr(key, name)) for name in ("created_at", "expires_at", "revoked_at", "last_used_at")},
        "last_used_from": key.last_used_from,
    }


def _iso(moment: Any) -> str | None:
    return None if moment is None else moment.astimezone(timezone.get_current_timezone()).isoformat(timespec="seconds")
