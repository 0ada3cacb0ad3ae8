"""
``@track``: changes of a model recorded with old and new values.

    @track(tenant="organization", mask=["iban"])
    class Invoice(models.Model): ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Final, TypeVar, overload

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model

from auditkit_django.conf import settings
from auditkit_django.drafts import MAX_CHANGES, Change, Target
from auditkit_django.hooks.emitting import is_on
from auditkit_django.hooks.tracking import bulk, deleting, saving  # noqa: F401  (each teaches watched classes its part)
from auditkit_django.hooks.tracking import relations as many
from auditkit_django.hooks.tracking.rows import Kind, RelationChange, RowChange, shown
from auditkit_django.hooks.tracking.watching import Watch, is_suspended, watch
from auditkit_django.recording.batch import Batch
from auditkit_django.recording.coercion import NAME_FIELDS, is_named_by_columns, name_of
from auditkit_django.recording.record import record
from auditkit_django.recording.series import Series
from auditkit_django.tenancy import tenant_key

_M = TypeVar("_M", bound=type[Model])
_Tenant = str | Callable[[Any], object] | None

ACTIONS: Mapping[Kind, str] = {
    "created": "data.record.created",
    "updated": "data.record.updated",
    "deleted": "data.record.deleted",
}


_ABSENT: Final = (None, "")


@dataclass(kw_only=True, eq=False)
class Tracked:
    """How one model is tracked."""

    model: type[Model]
    mask: frozenset[str]
    tenant: _Tenant
    actions: Mapping[Kind, str]
    has_triggers: bool = False
    watch: Watch = field(init=False)

    def told(self, changes: Sequence[RowChange]) -> None:
        """Record the changes of one operation: a single one as an event, several as one batch."""
        if len(changes) == 1 and changes[0].operation is None:
            record(**self._arguments(changes[0]))
            return
        batch = Batch()
        alike: dict[tuple[Kind, str | None, object], Series] = {}
        for change in changes:
            tenant = self._tenant_of(change.instance)
            if tenant is not None and type(tenant) is not int:
                tenant = tenant_key(tenant)
            series = alike.get(key := (change.kind, change.operation, tenant))
            if series is None:
                metadata = {"operation": change.operation} if change.operation else None
                series = alike[key] = Series(self.actions[change.kind], tenant=tenant, metadata=metadata)
            batch.add(series.row(self._target(change.instance, change.pk), self._changes(change)))
        batch.commit()

    def relations_told(self, changes: Sequence[RelationChange]) -> None:
        """Record keys that left and joined: ``old`` is what was removed and ``new`` what was added."""
        batch = Batch()
        for change in changes:
            one = Change(change.field, list(change.removed), list(change.added), change.field in self.mask)
            batch.event(
                self.actions["updated"],
                resource=self._target(change.instance, change.instance.pk),
                tenant=self._tenant_of(change.instance),
                changes=[one],
            )
        batch.commit()

    def is_active(self) -> bool:
        """Whether anything would be recorded."""
        return not is_suspended.get() and any(is_on("track", action) for action in self.actions.values())

    def _arguments(self, change: RowChange) -> dict[str, Any]:
        return {
            "action": self.actions[change.kind],
            "resource": self._target(change.instance, change.pk),
            "tenant": self._tenant_of(change.instance),
            "changes": self._changes(change),
            "metadata": {"operation": change.operation} if change.operation else None,
        }

    def _changes(self, change: RowChange) -> list[Change]:
        found = []
        for attname, name, is_masked in self._columns:
            if attname not in change.old and attname not in change.new:
                continue
            old, new = shown(change.old.get(attname)), shown(change.new.get(attname))
            # What a new row starts without, or a deleted one ends without, is no change.
            if change.kind == "updated" or old or new or not (old in _ABSENT and new in _ABSENT):
                found.append(Change(name, None, None, True) if is_masked else Change(name, old, new))
        return found[:MAX_CHANGES]

    @cached_property
    def _columns(self) -> tuple[tuple[str, str, bool], ...]:
        """Of each tracked field its attribute name, its name, and whether its values stay out of the log."""
        return tuple(
            (attname, one.name, one.name in self.mask or attname in self.mask)
            for attname, one in self.watch.fields.items()
        )

    def _target(self, instance: Model, pk: object) -> Target:
        return Target(self.model._meta.model_name or "", str(pk), name_of(instance))

    def _tenant_of(self, instance: Model) -> object:
        if callable(self.tenant):
            return self.tenant(instance)
        if self.tenant is None:
            return None
        column = _tenant_column(self.model, self.tenant, settings.TENANT_KEY)
        return _follow(instance, self.tenant) if column is None else getattr(instance, column)

    def needs(self) -> frozenset[str] | None:
        """What is read of an instance besides the changes; None where only a whole one will do."""
        column = None
        if isinstance(self.tenant, str):
            column = _tenant_column(self.model, self.tenant, settings.TENANT_KEY)
        if (self.tenant is not None and column is None) or not is_named_by_columns(self.model):
            return None
        names = {one.attname for one in self.model._meta.concrete_fields if one.attname in NAME_FIELDS}
        return frozenset(names if column is None else {*names, column})


@lru_cache(maxsize=512)
def _tenant_column(model: type[Model], tenant: str, key: str) -> str | None:
    """The column that holds the tenant's key, where it is a column or a reference by that key: no row is read for it."""
    field: Any = next((one for one in model._meta.concrete_fields if tenant in (one.name, one.attname)), None)
    if field is None or not field.is_relation:
        return None if field is None else str(field.attname)
    target = field.target_field
    is_by_key = key in (target.name, target.attname) or (key == "pk" and target.primary_key)
    return str(field.attname) if is_by_key else None


TRACKED: list[Tracked] = []


@overload
def track(model: _M, /) -> _M: ...
@overload
def track(
    *,
    fields: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    mask: Iterable[str] = (),
    tenant: _Tenant = None,
    actions: Mapping[Kind, str] | None = None,
    triggers: bool = False,
) -> Callable[[_M], _M]: ...
def track(
    model: _M | None = None,
    /,
    *,
    fields: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    mask: Iterable[str] = (),
    tenant: _Tenant = None,
    actions: Mapping[Kind, str] | None = None,
    triggers: bool = False,
) -> _M | Callable[[_M], _M]:
    """
    Record every creation, change and deletion of the model's rows, with old and new values of what really changed.

    ``fields`` (default: all but those set on every save, ``auto_now``) are tracked, many-to-many ones included, without
    ``exclude``; of those in ``mask`` it is recorded that they changed and not their values. ``tenant`` is a path to the
    tenant ("organization", "project.organization"), a callable of the instance, or None: the tenant of the context.
    ``actions`` replaces ``data.record.created``, ``updated`` and ``deleted``. With ``triggers`` PostgreSQL records what is
    written past the ORM (``docs/tracking.md``). Also usable as a call, for models of others:
    ``track(tenant=…)(Invoice)``.

    Raises:
        TypeError: Something other than a concrete model class is decorated.
    """

    def decorate(decorated: _M) -> _M:
        if not (isinstance(decorated, type) and issubclass(decorated, Model)):
            raise TypeError(f"track: got {decorated!r:.60}, wanted a model class")
        if decorated._meta.abstract:
            raise TypeError(f"track: got the abstract model {decorated.__name__}, wanted concrete ones: decorate each")
        unknown = set(actions or ()) - set(ACTIONS)
        if unknown:
            raise ImproperlyConfigured(f"track: actions: got {sorted(unknown)}, wanted some of {sorted(ACTIONS)}")
        tracked = Tracked(
            model=decorated,
            mask=frozenset(mask),
            tenant=tenant,
            actions={**ACTIONS, **(actions or {})},
            has_triggers=triggers,
        )
        tracked.watch = watch(
            Watch(
                kind="track",
                model=decorated,
                sink=tracked.told,
                relation_sink=tracked.relations_told,
                names=None if fields is None else tuple(fields),
                exclude=tuple(exclude),
                is_active=tracked.is_active,
                has_triggers=triggers,
            )
        )
        TRACKED.append(tracked)
        if apps.models_ready:
            finish(tracked)
        return decorated

    return decorate if model is None else decorate(model)


def finish(tracked: Tracked) -> None:
    """What needs all models: names of fields are checked, relations connected."""
    fields = tracked.watch.fields
    for name in tracked.mask:
        if name not in tracked.watch.relations and not any(name in (one.name, one.attname) for one in fields.values()):
            raise ImproperlyConfigured(f"track {tracked.model._meta.label}: mask names {name!r}, which is not tracked")
    tracked.watch.needs = tracked.needs()
    tracked.watch.related = _joins(tracked.model, tracked.tenant)
    many.connect(tracked.watch)


def _joins(one: type[Model], tenant: _Tenant) -> tuple[str, ...]:
    """What a bulk read joins so that following the path asks nothing: all of it but the last step."""
    if not isinstance(tenant, str) or "." not in tenant:
        return ()
    model: Any = one
    joined = []
    for step in tenant.split(".")[:-1]:
        field = next((f for f in model._meta.concrete_fields if f.name == step and f.is_relation), None)
        if field is None:
            break
        joined.append(step)
        model = field.related_model
    return ("__".join(joined),) if joined else ()


def _follow(instance: Any, path: str) -> object:
    for step in path.split("."):
        if instance is None:
            return None
        instance = getattr(instance, step)
    return instance
