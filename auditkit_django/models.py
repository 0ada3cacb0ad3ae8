"""
The rows: content in :class:`Event`, proof in :class:`Entry`, and :class:`Log` and :class:`Pending` between them.

Every key and index leads with the tenant and nothing refers to a user, a tenant or a content type by foreign key:
events outlive them all. Only ``log/`` writes here; the ORM refuses updates and deletes, and triggers do so in the
database (``sql/guards.py``). On PostgreSQL the primary key of ``Event`` and ``Pending`` is ``(tenant, id)``
(``sql/keys.py``); Django addresses them by ``id``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from auditkit_django.drafts import MAX_ID, MAX_TENANT, MAX_TYPE
from auditkit_django.exceptions import AppendOnlyError
from auditkit_django.ledger.disclosure import split_with_values
from auditkit_django.tenancy import tenant_key

if TYPE_CHECKING:
    from collections.abc import Iterable

_M = TypeVar("_M", bound=models.Model)


class AppendOnlyQuerySet(models.QuerySet[_M]):
    """A queryset that reads: writing belongs to ``auditkit_django.log``."""

    def for_tenant(self, tenant: object) -> AppendOnlyQuerySet[_M]:
        """The rows of one tenant (key or model instance): the way in."""
        return self.filter(tenant=tenant_key(tenant))

    def _refuse(self, verb: str) -> NoReturn:
        raise AppendOnlyError(
            f"{self.model.__name__} rows are append-only: {verb} is refused. Record a new event that corrects the old one."
        )

    def update(self, **kwargs: Any) -> NoReturn:
        self._refuse("update()")

    async def aupdate(self, **kwargs: Any) -> NoReturn:
        self._refuse("aupdate()")

    def bulk_update(self, objs: Iterable[_M], fields: Iterable[str], batch_size: int | None = None) -> NoReturn:
        self._refuse("bulk_update()")

    async def abulk_update(self, objs: Iterable[_M], fields: Iterable[str], batch_size: int | None = None) -> NoReturn:
        self._refuse("abulk_update()")

    def delete(self) -> NoReturn:
        self._refuse("delete()")

    async def adelete(self) -> NoReturn:
        self._refuse("adelete()")

    def _raw_delete(self, using: str | None) -> NoReturn:
        self._refuse("delete()")

    update.alters_data = True  # type: ignore[attr-defined]
    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]
    aupdate.alters_data = True  # type: ignore[attr-defined]
    adelete.alters_data = True  # type: ignore[attr-defined]
    adelete.queryset_only = True  # type: ignore[attr-defined]


class AppendOnlyModel(models.Model):
    """A row that is never saved a second time and never deleted."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        raise AppendOnlyError(
            f"{type(self).__name__} rows are append-only and written by auditkit_django alone: use auditlog.event()."
        )

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError(f"{type(self).__name__} rows are append-only: delete() is refused.")


class Event(AppendOnlyModel):
    """What happened. ``disclosures`` holds the content; the other columns are copies for searching."""

    id = models.UUIDField(primary_key=True, editable=False)
    tenant = models.CharField(_("tenant"), max_length=MAX_TENANT, editable=False)
    occurred_at = models.DateTimeField(_("occurred at"), editable=False)
    recorded_at = models.DateTimeField(_("recorded at"), editable=False)
    action = models.CharField(_("action"), max_length=96, editable=False)
    category = models.CharField(_("category"), max_length=32, editable=False)
    severity = models.CharField(_("severity"), max_length=8, editable=False)
    outcome = models.CharField(_("outcome"), max_length=8, editable=False)
    actor_type = models.CharField(_("actor type"), max_length=MAX_TYPE, null=True, editable=False)  # noqa: DJ001
    actor_id = models.CharField(_("actor id"), max_length=MAX_ID, null=True, editable=False)  # noqa: DJ001
    target_type = models.CharField(_("target type"), max_length=MAX_TYPE, null=True, editable=False)  # noqa: DJ001
    target_id = models.CharField(_("target id"), max_length=MAX_ID, null=True, editable=False)  # noqa: DJ001
    disclosures = models.TextField(_("disclosures"), null=True, editable=False)  # noqa: DJ001

    objects: ClassVar[models.Manager[Event]] = AppendOnlyQuerySet.as_manager()

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        default_permissions = ("view",)
        permissions: ClassVar = [("export_event", "Can export events"), ("verify_log", "Can verify logs")]
        indexes: ClassVar = [
            models.Index(fields=["tenant", "occurred_at"], name="auditkit_event_time"),
            models.Index(fields=["tenant", "action", "occurred_at"], name="auditkit_event_action"),
            models.Index(fields=["tenant", "actor_id", "occurred_at"], name="auditkit_event_actor"),
            models.Index(fields=["tenant", "target_id", "occurred_at"], name="auditkit_event_target"),
            # Of the few rows that people look for: what succeeded, and what matters little, is found by time.
            models.Index(
                fields=["tenant", "outcome", "occurred_at"],
                name="auditkit_event_outcome",
                condition=models.Q(outcome__in=["failure", "denied"]),
            ),
            models.Index(
                fields=["tenant", "severity", "occurred_at"],
                name="auditkit_event_severity",
                condition=models.Q(severity__in=["high", "critical"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.id}"

    def disclosed(self) -> dict[str, Any]:
        """The opened fields by name (``actor``, ``targets``, ``context``, …); what is erased or absent is left out."""
        if not self.disclosures:
            return {}
        return {name: value for name, (_text, value) in split_with_values(self.disclosures).items()}


class Pending(models.Model):
    """Points at an event that is recorded and not yet in the log. Narrow, usually empty."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.CharField(max_length=MAX_TENANT)
    event_id = models.UUIDField()

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [models.UniqueConstraint(fields=["tenant", "id"], name="auditkit_pending_order")]

    def __str__(self) -> str:
        return f"{self.tenant} #{self.id}"


class Log(models.Model):
    """
    One incarnation (``epoch``) of a tenant's append-only sequence, and its head.

    ``first_seq`` is where it begins since entries before were pruned: 0, or a multiple of 256.
    """

    class State(models.TextChoices):
        OPEN = "open", _("open")
        #: It is shorter than what was signed: nothing is appended until somebody decides (``auditkit_recover``).
        HALTED = "halted", _("halted")
        CLOSED = "closed", _("closed")

    id = models.UUIDField(primary_key=True, editable=False)
    tenant = models.CharField(_("tenant"), max_length=MAX_TENANT, editable=False)
    epoch = models.IntegerField(_("epoch"), editable=False)
    origin = models.CharField(_("origin"), max_length=255, editable=False)
    size = models.BigIntegerField(_("size"), editable=False)
    head_hash = models.BinaryField(_("head hash"), max_length=32)
    head_time = models.DateTimeField(_("head time"), editable=False)
    first_seq = models.BigIntegerField(_("first seq"), default=0, db_default=0, editable=False)
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.OPEN, editable=False)
    verified_at = models.DateTimeField(_("verified at"), null=True, editable=False)
    verified_size = models.BigIntegerField(_("verified size"), null=True, editable=False)
    verdict = models.CharField(_("verdict"), max_length=16, blank=True, default="", editable=False)

    class Meta:
        verbose_name = _("log")
        verbose_name_plural = _("logs")
        default_permissions = ("view",)
        constraints: ClassVar = [models.UniqueConstraint(fields=["tenant", "epoch"], name="auditkit_log_epoch")]

    def __str__(self) -> str:
        return f"{self.tenant} (epoch {self.epoch})"


class Entry(AppendOnlyModel):
    """The proof: the exact bytes that stand for an event in the log, and their leaf hash."""

    pk = models.CompositePrimaryKey("tenant", "epoch", "seq")
    tenant = models.CharField(max_length=MAX_TENANT, editable=False)
    epoch = models.IntegerField(editable=False)
    seq = models.BigIntegerField(editable=False)
    event_id = models.UUIDField(editable=False)
    body = models.BinaryField(editable=False)
    leaf_hash = models.BinaryField(max_length=32, editable=False)

    objects: ClassVar[models.Manager[Entry]] = AppendOnlyQuerySet.as_manager()

    class Meta:
        verbose_name = _("entry")
        verbose_name_plural = _("entries")
        default_permissions = ()
        constraints: ClassVar = [models.UniqueConstraint(fields=["tenant", "event_id"], name="auditkit_entry_event")]

    def __str__(self) -> str:
        return f"{self.tenant} #{self.seq}"


class Tile(AppendOnlyModel):
    """
    A node of the tree that never changes any more: ``level`` 1 stands for 256 leaves, 2 for 256 of those, and so on.

    Level 0 is ``Entry.leaf_hash``. With these a proof reads some hundred rows for each level, however large the log is.
    """

    pk = models.CompositePrimaryKey("tenant", "epoch", "level", "number")
    tenant = models.CharField(max_length=MAX_TENANT, editable=False)
    epoch = models.IntegerField(editable=False)
    level = models.SmallIntegerField(editable=False)
    number = models.BigIntegerField(editable=False)
    hash = models.BinaryField(max_length=32, editable=False)

    objects: ClassVar[models.Manager[Tile]] = AppendOnlyQuerySet.as_manager()

    class Meta:
        verbose_name = _("tile")
        verbose_name_plural = _("tiles")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.tenant} {self.level}/{self.number}"


class Checkpoint(AppendOnlyModel):
    """
    A seal: ``note`` is the signed note that says that the log's first ``size`` entries have ``root``.

    ``hashes`` is their compact range, 32 bytes for each bit set in ``size``: what the next seal goes on from.
    """

    pk = models.CompositePrimaryKey("tenant", "epoch", "size")
    tenant = models.CharField(_("tenant"), max_length=MAX_TENANT, editable=False)
    epoch = models.IntegerField(_("epoch"), editable=False)
    size = models.BigIntegerField(_("size"), editable=False)
    root = models.BinaryField(_("root"), max_length=32, editable=False)
    hashes = models.BinaryField(editable=False)
    note = models.TextField(_("signed note"), editable=False)
    sealed_at = models.DateTimeField(_("sealed at"), editable=False)

    objects: ClassVar[models.Manager[Checkpoint]] = AppendOnlyQuerySet.as_manager()

    class Meta:
        verbose_name = _("checkpoint")
        verbose_name_plural = _("checkpoints")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.tenant} @{self.size}"


class LegalHold(models.Model):
    """While it stands nothing of the tenant's is erased or pruned. Placing and lifting it are events of the log."""

    tenant = models.CharField(_("tenant"), max_length=MAX_TENANT, primary_key=True, editable=False)
    reason = models.CharField(_("reason"), max_length=200, editable=False)
    placed_at = models.DateTimeField(_("placed at"), editable=False)

    class Meta:
        verbose_name = _("legal hold")
        verbose_name_plural = _("legal holds")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.tenant}: {self.reason}"


class Publication(AppendOnlyModel):
    """
    Where a checkpoint was published, and what came back: ``receipt`` is a place, the cosignature lines of witnesses, or the
    base64 of a timestamp response, as ``kind`` says.
    """

    pk = models.CompositePrimaryKey("tenant", "epoch", "size", "publisher")
    tenant = models.CharField(_("tenant"), max_length=MAX_TENANT, editable=False)
    epoch = models.IntegerField(_("epoch"), editable=False)
    size = models.BigIntegerField(_("size"), editable=False)
    publisher = models.CharField(_("publisher"), max_length=64, editable=False)
    published_at = models.DateTimeField(_("published at"), editable=False)
    kind = models.CharField(_("kind"), max_length=16, editable=False)
    receipt = models.TextField(_("receipt"), editable=False)

    objects: ClassVar[models.Manager[Publication]] = AppendOnlyQuerySet.as_manager()

    class Meta:
        verbose_name = _("publication")
        verbose_name_plural = _("publications")
        default_permissions = ("view",)
        indexes: ClassVar = [
            models.Index(fields=["tenant", "epoch", "publisher", "size"], name="auditkit_publication_newest")
        ]

    def __str__(self) -> str:
        return f"{self.tenant} @{self.size} {self.publisher}"


class Delivery(models.Model):
    """
    How the delivery of one log's checkpoints to one publisher goes: ``attempts`` failed in a row, the next is not before
    ``next_at``, and a process is at it until ``claimed_until``.
    """

    pk = models.CompositePrimaryKey("tenant", "epoch", "publisher")
    tenant = models.CharField(max_length=MAX_TENANT, editable=False)
    epoch = models.IntegerField(editable=False)
    publisher = models.CharField(max_length=64, editable=False)
    attempts = models.IntegerField(default=0, editable=False)
    last_error = models.TextField(blank=True, default="", editable=False)
    next_at = models.DateTimeField(null=True, editable=False)
    claimed_until = models.DateTimeField(null=True, editable=False)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.tenant} {self.publisher}"


class KeyGeneration(AppendOnlyModel):
    """
    The key that signs for a log from its entry at ``seq`` on, which says so. The first, generation 0, has no row.

    ``verifier_key`` is the line that stands for it; ``is_revocation`` says that the key before was revoked.
    """

    pk = models.CompositePrimaryKey("tenant", "epoch", "generation")
    tenant = models.CharField(_("tenant"), max_length=MAX_TENANT, editable=False)
    epoch = models.IntegerField(_("epoch"), editable=False)
    generation = models.IntegerField(_("generation"), editable=False)
    seq = models.BigIntegerField(_("seq"), editable=False)
    verifier_key = models.CharField(_("verifier key"), max_length=400, editable=False)
    is_revocation = models.BooleanField(_("is revocation"), editable=False)

    objects: ClassVar[models.Manager[KeyGeneration]] = AppendOnlyQuerySet.as_manager()

    class Meta:
        verbose_name = _("key generation")
        verbose_name_plural = _("key generations")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.tenant} key {self.generation} from #{self.seq}"


class RepeatedRead(models.Model):
    """
    Reads of one object by one actor, counted from the second on until their window closes and they become one event.

    ``key`` is a digest of actor, object and action; ``draft`` is what the event will need, cleaned. Rows live for minutes.
    """

    pk = models.CompositePrimaryKey("tenant", "key")
    tenant = models.CharField(max_length=MAX_TENANT, editable=False)
    key = models.CharField(max_length=64, editable=False)
    count = models.BigIntegerField(editable=False)
    first_at = models.DateTimeField(null=True, editable=False)
    last_at = models.DateTimeField(editable=False)
    closes_at = models.DateTimeField(editable=False)
    draft = models.TextField(editable=False)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.tenant} {self.key[:8]} ({self.count})"


class ApiKey(models.Model):
    """
    A key of the REST API: of one tenant, or (``tenant`` None) of the installation. ``digest`` is an HMAC of the key's text, which
    is shown once and kept nowhere. Written by ``auditkit_django.access`` alone.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    tenant = models.CharField(_("tenant"), max_length=MAX_TENANT, null=True, editable=False)  # noqa: DJ001
    name = models.CharField(_("name"), max_length=100, editable=False)
    prefix = models.CharField(_("prefix"), max_length=8, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(_("scopes"), default=list, editable=False)
    networks = models.JSONField(_("networks"), default=list, editable=False)
    created_at = models.DateTimeField(_("created at"), editable=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, editable=False)
    last_used_at = models.DateTimeField(_("last used at"), null=True, editable=False)
    last_used_from = models.GenericIPAddressField(_("last used from"), null=True, editable=False)
    successor_id = models.UUIDField(null=True, editable=False)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        default_permissions = ("view",)
        permissions: ClassVar = [("manage_keys", "Can create, rotate and revoke API keys")]
        indexes: ClassVar = [models.Index(fields=["tenant", "created_at"], name="auditkit_apikey_tenant")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"

    @property
    def auditkit_id(self) -> str:
        """Events call a key by its prefix, which its text begins with."""
        return self.prefix


class ApiKeyAddress(models.Model):
    """An address that an API key was used from."""

    pk = models.CompositePrimaryKey("key_id", "address")
    key_id = models.UUIDField(editable=False)
    address = models.GenericIPAddressField(editable=False)
    first_used_at = models.DateTimeField(editable=False)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.address
