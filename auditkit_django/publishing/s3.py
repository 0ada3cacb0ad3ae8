"""
Object storage with a lock (S3 Object Lock, or what speaks its language): ``<prefix><log uuid>/<size>.note``.

Each object is put with a date until which nobody deletes or overwrites it; in the mode COMPLIANCE not even the account's owner.
The bucket is made with Object Lock beforehand.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final, Literal, get_args

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from auditkit_django.exceptions import PublicationRefusedError, PublishError
from auditkit_django.publishing.port import Receipt, SealedNote

Mode = Literal["COMPLIANCE", "GOVERNANCE"]

#: Two tries, each bounded: both end well within a claim.
_LIMITS: Final = Config(connect_timeout=10, read_timeout=10, retries={"total_max_attempts": 2, "mode": "standard"})
_THERE: Final = frozenset({"PreconditionFailed", "412"})
_UNCONDITIONAL: Final = frozenset({"NotImplemented", "501"})
_ABSENT: Final = frozenset({"NoSuchKey", "404"})


class S3Publisher:
    """
    Puts every checkpoint into ``bucket``, locked for ``retain_days``.

    Credentials are found as boto3 finds them (environment, profile, role).
    """

    keeps_all = True
    interval_seconds = 0.0

    def __init__(
        self,
        *,
        bucket: str,
        retain_days: int,
        mode: Mode = "COMPLIANCE",
        prefix: str = "",
        region_name: str | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        if not isinstance(bucket, str) or not bucket:
            raise ValueError(f"bucket: got {bucket!r}, wanted its name")
        if type(retain_days) is not int or retain_days < 1:
            raise ValueError(f"retain_days: got {retain_days!r}, wanted 1 or more")
        if mode not in get_args(Mode):
            raise ValueError(f"mode: got {mode!r}, wanted one of {', '.join(get_args(Mode))}")
        self._bucket, self._prefix, self._mode = bucket, prefix, mode
        self._retention = timedelta(days=retain_days)
        self._region, self._url = region_name, endpoint_url

    def publish(self, sealed: SealedNote) -> Receipt:
        """
        Where the object is, with its version.

        Raises:
            PublicationRefusedError: Another note is there under this size.
            PublishError: The storage did not take it.
        """
        key, data = f"{self._prefix}{sealed.log_id}/{sealed.size}.note", sealed.note.encode()
        try:
            version = self._put(key, data)
        except (ClientError, BotoCoreError) as exc:
            raise PublishError(f"s3: {key} was not put into {self._bucket}: {_code(exc)}") from exc
        return Receipt(text=f"s3://{self._bucket}/{key}" + (f"?versionId={version}" if version else ""))

    def _put(self, key: str, data: bytes) -> str:
        """Put the object unless it is there; its version."""
        options: dict[str, Any] = {
            "Bucket": self._bucket,
            "Key": key,
            "Body": data,
            "ContentType": "text/plain; charset=utf-8",
            "ChecksumAlgorithm": "SHA256",
            "ObjectLockMode": self._mode,
            "ObjectLockRetainUntilDate": datetime.now(UTC) + self._retention,
        }
        try:
            return str(self._client.put_object(**options, IfNoneMatch="*").get("VersionId", ""))
        except ClientError as exc:
            code = _code(exc)
            if code not in _THERE | _UNCONDITIONAL:
                raise
            if (standing := self._standing(key, data)) is not None:
                return standing
            if code in _THERE:
                raise
        # Storage that knows no condition; that nothing is there was seen a moment ago, and the lock keeps older versions.
        return str(self._client.put_object(**options).get("VersionId", ""))

    def _standing(self, key: str, data: bytes) -> str | None:
        """The version of the object that is there, which is the note; None where none is."""
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=key)
        except ClientError as exc:
            if _code(exc) in _ABSENT:
                return None
            raise
        with found["Body"] as body:
            if body.read(len(data) + 1) != data:
                raise PublicationRefusedError(
                    f"s3: {key} in {self._bucket} is another note than the one that was sealed: one of the two histories is"
                    " forged"
                )
        return str(found.get("VersionId", ""))

    @cached_property
    def _client(self) -> Any:
        return boto3.client("s3", region_name=self._region, endpoint_url=self._url, config=_LIMITS)


def _code(exc: Exception) -> str:
    # Not its text, which may name accounts and addresses.
    return str(exc.response["Error"].get("Code", "?")) if isinstance(exc, ClientError) else type(exc).__name__
