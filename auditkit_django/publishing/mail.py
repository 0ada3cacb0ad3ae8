"""
Mail to the customer: who holds a checkpoint of their own log needs to trust nobody.

The note is attached as a text file; subject and body are the templates ``auditkit_django/mail/checkpoint_subject.txt`` and
``checkpoint.txt``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from smtplib import SMTPException
from typing import Final

from django.conf import settings as django_settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string

from auditkit_django.conf import resolve
from auditkit_django.exceptions import PublishError
from auditkit_django.log.meta import META_TENANT
from auditkit_django.publishing.port import Receipt, SealedNote

_DAY_SECONDS: Final = 86_400.0
_SMTP: Final = "django.core.mail.backends.smtp.EmailBackend"


class MailPublisher:
    """
    Mails the newest checkpoint of each tenant's log to ``recipients(tenant)``, once in ``interval_seconds`` (a day).

    ``recipients`` gets the tenant's key and gives addresses; none, and nothing is sent. The log of checkpoints is nobody's.
    """

    keeps_all = False

    def __init__(
        self,
        *,
        recipients: str | Callable[[str], Sequence[str]],
        interval_seconds: float = _DAY_SECONDS,
        from_email: str | None = None,
    ) -> None:
        found = resolve(recipients)
        if found is None or not callable(found):
            raise ValueError(
                f"recipients: got {recipients!r:.80}, wanted a callable (tenant) -> addresses, or its path"
            )
        if not _ends():
            raise ValueError(
                "the mail server has no timeout, wanted EMAIL_TIMEOUT (Django 6.1: MAILERS' option timeout)"
            )
        self._recipients, self._from = found, from_email
        self.interval_seconds = interval_seconds

    def publish(self, sealed: SealedNote) -> Receipt | None:
        """
        How many it was mailed to; None where nobody is to get it.

        Raises:
            PublishError: The mail server did not take it, or ``recipients`` gave no list of addresses.
        """
        if sealed.tenant == META_TENANT:
            return None
        to = self._recipients(sealed.tenant)
        if isinstance(to, str) or not all(isinstance(one, str) for one in to):
            raise PublishError("mail: recipients gave no list of addresses")
        if not to:
            return None
        try:
            sent = self._message(sealed, list(to)).send()
        except (SMTPException, OSError, ValueError) as exc:
            # Not its text, which names the addresses.
            raise PublishError(f"mail: not sent ({type(exc).__name__})") from exc
        if not sent:
            raise PublishError("mail: the mail backend sent nothing")
        return Receipt(text=f"mailed to {len(to)}")

    def _message(self, sealed: SealedNote, to: list[str]) -> EmailMessage:
        context = {"sealed": sealed}
        subject = render_to_string("auditkit_django/mail/checkpoint_subject.txt", context)
        body = render_to_string("auditkit_django/mail/checkpoint.txt", context)
        message = EmailMessage(subject=" ".join(subject.split()), body=body, from_email=self._from, to=to)
        # As bytes: a mail program must not change a line end, or the signature no longer holds.
        message.attach(f"checkpoint-{sealed.size}.note", sealed.note.encode(), "application/octet-stream")
        return message


def _ends() -> bool:
    """Whether sending ends by itself: Django's own way to a mail server waits for ever, unless it is told."""
    mailer = getattr(django_settings, "MAILERS", {}).get("default")
    if mailer is not None:
        backend, timeout = mailer.get("BACKEND", _SMTP), mailer.get("OPTIONS", {}).get("timeout")
    else:
        backend, timeout = django_settings.EMAIL_BACKEND, django_settings.EMAIL_TIMEOUT
    return bool(backend != _SMTP or timeout)
