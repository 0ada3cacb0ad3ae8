"""A browser that asks the real views: middleware, forms, sessions, signals and audit events as for anybody."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from example_project.northwind.demo.authenticator import Authenticator
from example_project.northwind.demo.cast import Person

#: Shorter than the product's sessions last.
_SESSION = timedelta(days=6)


class UnexpectedAnswerError(AssertionError):
    """A view did not answer as the story needs: the story or the view is wrong."""


class Browser:
    """One person's browser, signed in or not."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.password = person.first_password
        self.authenticator: Authenticator | None = None
        self._signed_in_at: datetime | None = None
        self._client = self._new_client(person.ip)

    def _new_client(self, ip: str) -> Client:
        # raise_request_exception stays on: a view that fails ends the demo with its traceback.
        return Client(headers={"user-agent": self.person.user_agent}, REMOTE_ADDR=ip, SERVER_NAME="127.0.0.1")

    @property
    def is_signed_in(self) -> bool:
        """Whether there is a session that has not run out."""
        return self._signed_in_at is not None and timezone.now() - self._signed_in_at < _SESSION

    def get(self, path: str, *, status: int = 200) -> HttpResponse:
        """The page at ``path``."""
        return self._checked(self._client.get(path), path, status)

    def post(self, path: str, values: Mapping[str, Any] | None = None, *, status: int = 302) -> HttpResponse:
        """Send a form; 302 is the answer to one that was accepted."""
        return self._checked(self._client.post(path, dict(values or {})), path, status)

    def start_anew(self) -> None:
        """Without the cookies that were there: signed out, as far as this browser goes."""
        self._client, self._signed_in_at = self._new_client(self.person.ip), None

    def sign_in(self) -> None:
        """With the right password, and without the cookies of an older session."""
        self.start_anew()
        self._give_password()
        if self.authenticator is not None:
            self.post("/sign-in/code/", {"code": self.authenticator.code()})
        self.has_signed_in()

    def _give_password(self) -> None:
        self.post("/sign-in/", {"username": self.person.email, "password": self.password})

    def has_signed_in(self) -> None:
        """Remember the session that signing up or joining began."""
        self._signed_in_at = timezone.now()

    def mistype(self, *, ip: str | None = None) -> None:
        """A wrong password, from this browser or from elsewhere."""
        client = self._new_client(ip or self.person.ip)
        answer = client.post("/sign-in/", {"username": self.person.email, "password": "not-the-password"})
        self._checked(answer, "/sign-in/", 200)

    def mistype_code(self) -> None:
        """The right password and a wrong code; whoever was signed in here is not any more."""
        assert self.authenticator is not None, f"{self.person.email} has no two-step sign-in"
        self.start_anew()
        self._give_password()
        self.post("/sign-in/code/", {"code": self.authenticator.wrong_code()}, status=200)

    def sign_out(self) -> None:
        """End the session."""
        self.post("/sign-out/")
        self._signed_in_at = None

    def _checked(self, answer: Any, path: str, status: int) -> HttpResponse:
        if answer.status_code != status:
            form = (answer.context or {}).get("form")
            errors = form.errors.as_json() if form is not None else ""
            raise UnexpectedAnswerError(
                f"{self.person.email} {path}: got {answer.status_code}, wanted {status}. {errors}"
            )
        found: HttpResponse = answer
        return found
