"""
Actors, targets and changes from whatever a caller has at hand.

Nothing here runs a query: names come from attributes that are already loaded, never from ``__str__``, which may query
and may leak. A model decides for itself with an attribute or method ``auditkit_name``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TypeGuard
from uuid import UUID

from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.db.models import Model

from auditkit_django.drafts import ANONYMOUS, MAX_CHANGES, MAX_ID, MAX_TARGETS, MAX_TYPE, SYSTEM, Actor, Change, Target
from auditkit_django.exceptions import MalformedError

NAME_FIELDS = ("name", "title", "label", "slug", "username", "email")


def actor_from(value: object) -> Actor:
    """
    The actor that ``value`` stands for.

    A user, any model instance, an :class:`Actor`, ``"service:importer"`` (type and id), ``"alice"`` (a user's id),
    ``"system"``, ``"anonymous"``, or an ``AnonymousUser``.

    Raises:
        MalformedError: Anything else, or an unsaved instance.
    """
    if isinstance(value, Actor):
        kind, key = _type(value.type, "actor"), _id(value.id, "actor")
        return value if key is value.id else Actor(kind, key, value.name, value.email)
    if isinstance(value, Model):
        return _actor_of_instance(value)
    if isinstance(value, AnonymousUser):
        return ANONYMOUS
    if isinstance(value, str):
        if value == "system":
            return SYSTEM
        if value == "anonymous":
            return ANONYMOUS
        kind, colon, key = value.partition(":")
        return Actor(_type(kind, "actor"), _id(key, "actor")) if colon else Actor("user", _id(value, "actor"))
    if getattr(value, "is_authenticated", False) and getattr(value, "pk", None) is not None:
        # Token users without a row (simplejwt's TokenUser): shaped like a user, not a model.
        return Actor("user", _id(str(value.pk), "actor"), getattr(value, "username", None) or None)  # type: ignore[attr-defined]
    raise MalformedError(
        f'actor: got {type(value).__name__}, wanted a user, a model instance, "type:id", "system" or "anonymous"'
    )


def _actor_of_instance(instance: Model) -> Actor:
    if not _is_user(instance):
        return Actor(instance._meta.model_name or "", _key(instance, "actor"), name_of(instance))
    email = getattr(instance, instance.get_email_field_name(), None) or None
    return Actor("user", _key(instance, "actor"), name_of(instance), email)


def target_from(value: object) -> Target:
    """
    The target that ``value`` stands for: a model instance, a :class:`Target`, or ``"invoice:17"`` (type and id).

    Raises:
        MalformedError: Anything else, or an instance that never had a key (record after ``save()``, before ``delete()``).
    """
    if isinstance(value, Model):
        return Target(value._meta.model_name or "", _key(value, "resource"), name_of(value))
    if isinstance(value, Target):
        kind, key = _type(value.type, "resource"), _id(value.id, "resource")
        return value if key is value.id else Target(kind, key, value.name)
    if isinstance(value, str):
        kind, colon, key = value.partition(":")
        return Target(_type(kind, "resource"), _id(key, "resource") if colon else None)
    raise MalformedError(f'resource: got {type(value).__name__}, wanted a model instance, a Target or "type:id"')


def subjects_of(value: object) -> tuple[tuple[str, str], ...]:
    """
    Type and id of the one whom ``value`` stands for, as an actor and as a target: for a model of a host's own these differ.

    Raises:
        MalformedError: Somebody without an id.
    """
    found = {(one.type, one.id) for one in (actor_from(value), target_from(value))}
    if any(key is None for _kind, key in found):
        raise MalformedError(f"subject: got {value!r:.60} without an id, wanted one person")
    return tuple(sorted((kind, str(key)) for kind, key in found))


def texts_of(values: Iterable[str], name: str) -> tuple[str, ...]:
    """
    Several texts, of which one alone is refused: it would be taken for its letters.

    Raises:
        MalformedError: A single text, or something else than text.
    """
    found = (values,) if isinstance(values, str | bytes) else tuple(values)
    if isinstance(values, str | bytes) or not all(isinstance(one, str) for one in found):
        raise MalformedError(f"{name}: got {values!r:.60}, wanted a list of texts")
    return tuple(found)


def targets_from(resource: object, targets: Iterable[object]) -> tuple[Target, ...]:
    """``resource`` first, then ``targets``; at most 20."""
    found: tuple[Target, ...] = () if resource is None else (target_from(resource),)
    if targets:
        found += tuple(target_from(target) for target in targets)
    if len(found) > MAX_TARGETS:
        raise MalformedError(f"targets: got {len(found)}, wanted at most {MAX_TARGETS}")
    return found


def changes_from(changes: Mapping[str, object] | Iterable[Change] | None) -> tuple[Change, ...]:
    """
    Changes from ``{"field": (old, new)}`` or from :class:`Change` objects; at most 100.

    Raises:
        MalformedError: A value that is not a pair, or too many.
    """
    if not changes:
        return ()
    if isinstance(changes, Mapping):
        found = tuple(_change(str(field), pair) for field, pair in changes.items())
    else:
        found = tuple(changes)
        for change in found:
            if not isinstance(change, Change):
                raise MalformedError(f"changes: got {type(change).__name__}, wanted Change or {{field: (old, new)}}")
    if len(found) > MAX_CHANGES:
        raise MalformedError(f"changes: got {len(found)}, wanted at most {MAX_CHANGES}")
    return found


def _change(field: str, pair: object) -> Change:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise MalformedError(f"changes[{field!r}]: got {type(pair).__name__}, wanted a pair (old, new)")
    return Change(field, pair[0], pair[1])


def name_of(instance: Model) -> str | None:
    """
    ``auditkit_name`` of the instance, a user's full name or user name, else its first loaded field among name, title,
    label, slug, username, email.
    """
    own = getattr(instance, "auditkit_name", None)
    if own is not None:
        return str(own() if callable(own) else own)
    if _is_user(instance):
        full_name = instance.get_full_name() if hasattr(instance, "get_full_name") else ""
        return full_name or instance.get_username()
    loaded = instance.__dict__
    for field in NAME_FIELDS:
        if loaded.get(field):
            return str(loaded[field])
    return None


def is_named_by_columns(model: type[Model]) -> bool:
    """Whether :func:`name_of` needs no more than the columns of ``NAME_FIELDS`` of an instance of ``model``."""
    return not hasattr(model, "auditkit_name") and not issubclass(model, _model(django_settings.AUTH_USER_MODEL))


def _is_user(instance: Model) -> TypeGuard[AbstractBaseUser]:
    return isinstance(instance, _model(django_settings.AUTH_USER_MODEL))


@lru_cache(maxsize=8)
def _model(label: str) -> type[Model]:
    return apps.get_model(label)


def _key(instance: Model, role: str) -> str:
    # Of some rows the key is a secret, or holds one: they say themselves what they are called by.
    key = getattr(instance, "auditkit_id", None)
    key = instance.pk if key is None else key
    if key is None:
        raise MalformedError(
            f"{role}: got a {type(instance).__name__} without a primary key, wanted a saved one:"
            " record after save() and before delete()"
        )
    return _id(str(key), role) or ""


def _type(text: object, role: str) -> str:
    if type(text) is not str or not 0 < len(text) <= MAX_TYPE or not text.isprintable():
        raise MalformedError(f"{role} type: got {str(text)[:40]!r}, wanted 1 to {MAX_TYPE} printable characters")
    return text


def _id(text: object, role: str) -> str | None:
    if text is None:
        return None
    if isinstance(text, (int, UUID)) and not isinstance(text, bool):
        text = str(text)
    if type(text) is not str or not 0 < len(text) <= MAX_ID or not text.isprintable():
        raise MalformedError(f"{role} id: got {str(text)[:40]!r}, wanted 1 to {MAX_ID} printable characters")
    return text
