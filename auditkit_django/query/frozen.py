"""A JSON object as a value: it has a hash, and nobody changes it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final

from auditkit_django.drafts import MAX_SAFE_INTEGER
from auditkit_django.exceptions import MalformedError
from auditkit_django.ledger.disclosure import encode_value

MAX_OBJECT: Final = 4096


class FrozenObject(Mapping[str, object]):
    """
    What a JSON object holds. ``text`` is its JSON, keys sorted; two are equal where these are.

    Raises:
        MalformedError: What is given is no JSON object, has more than 4,096 characters, or an integer beyond 2^53, which is
            recorded as text.
    """

    __slots__ = ("text",)

    def __init__(self, given: Mapping[str, object], *, name: str) -> None:
        if not isinstance(given, Mapping):
            raise MalformedError(f"{name}: got {type(given).__name__}, wanted an object")
        try:
            self.text = encode_value(given.members() if isinstance(given, FrozenObject) else dict(given))
            self.text.encode()
        except (MalformedError, UnicodeEncodeError) as exc:
            raise MalformedError(f"{name}: got an object that JSON cannot hold, wanted names and JSON values") from exc
        if len(self.text) > MAX_OBJECT or "\\u0000" in self.text:
            raise MalformedError(
                f"{name}: got {len(self.text)} characters of JSON, wanted at most {MAX_OBJECT}, no U+0000"
            )
        _check(given, name)

    def members(self) -> dict[str, object]:
        """A copy that may be changed."""
        found: dict[str, object] = json.loads(self.text)
        return found

    def __getitem__(self, name: str) -> object:
        return self.members()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.members())

    def __len__(self) -> int:
        return len(self.members())

    def __eq__(self, other: object) -> bool:
        return self.members() == (other.members() if isinstance(other, FrozenObject) else other)

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text})"


def _check(value: object, name: str) -> None:
    if isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER:
        raise MalformedError(f"{name}: got an integer beyond 2^53, wanted it as text: so it was recorded")
    if isinstance(value, Mapping):
        for key, one in value.items():
            if not isinstance(key, str):
                raise MalformedError(f"{name}: got a name of type {type(key).__name__}, wanted text")
            _check(one, name)
    elif isinstance(value, (list, tuple)):
        for one in value:
            _check(one, name)
