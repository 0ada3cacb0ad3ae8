"""S3 with Object Lock, against a server in this process."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from django.db import connection
from moto.server import ThreadedMotoServer

from auditkit_django.checks import check_publishers
from auditkit_django.models import Log, Publication
from auditkit_django.publishing.s3 import S3Publisher
from auditkit_django.testing import guards_lifted
from tests.publishing.conftest import run, sealed

pytestmark = pytest.mark.django_db

BACKEND = "auditkit_django.publishing.s3.S3Publisher"
Use = Callable[..., None]


@pytest.fixture(scope="module")
def storage() -> Iterator[str]:
    """The URL of a storage server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture
def client(storage: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client, and a bucket ``notes`` with Object Lock."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    client = boto3.client("s3", region_name="us-east-1", endpoint_url=storage)
    client.create_bucket(Bucket="notes", ObjectLockEnabledForBucket=True)
    yield client
    urllib.request.urlopen(urllib.request.Request(f"{storage}/moto-api/reset", method="POST")).close()
    client.close()


@pytest.fixture
def backend(storage: str) -> Callable[..., dict[str, Any]]:
    """The settings of the publisher."""
    options = {"bucket": "notes", "retain_days": 30, "prefix": "audit/", "region_name": "us-east-1"}
    return lambda **given: {"BACKEND": BACKEND, "OPTIONS": {**options, "endpoint_url": storage, **given}}


def key(size: int) -> str:
    return f"audit/{Log.objects.get().id}/{size}.note"


@pytest.mark.parametrize("mode", ["COMPLIANCE", "GOVERNANCE"])
def test_every_checkpoint_is_an_object_that_nobody_deletes(use: Use, client: Any, backend: Any, mode: str) -> None:
    use(s3=backend(mode=mode))
    checkpoints = [sealed(), sealed()]
    assert [one.state for one in run("s3")] == ["published"]
    for checkpoint in checkpoints:
        place = {"Bucket": "notes", "Key": key(checkpoint.size)}
        found = client.get_object(**place)
        assert found["Body"].read() == checkpoint.note.encode()
        assert found["ObjectLockMode"] == mode
        left = found["ObjectLockRetainUntilDate"] - datetime.now(UTC)
        assert timedelta(days=29) < left <= timedelta(days=30, seconds=1)
        row = Publication.objects.get(size=checkpoint.size)
        assert row.receipt == f"s3://notes/{place['Key']}?versionId={found['VersionId']}"
        for options in ({}, {"BypassGovernanceRetention": True}) if mode == "COMPLIANCE" else ({},):
            with pytest.raises(ClientError, match="AccessDenied"):
                client.delete_object(**place, VersionId=found["VersionId"], **options)
        assert client.get_object(**place)["Body"].read() == checkpoint.note.encode()


def test_what_is_there_already_is_published_and_put_no_second_time(use: Use, client: Any, backend: Any) -> None:
    use(s3=backend())
    checkpoint = sealed()
    run("s3")
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM auditkit_django_publication")
    [outcome] = run("s3")
    assert outcome.state == "published"
    versions = client.list_object_versions(Bucket="notes")["Versions"]
    assert [(one["Key"], one["VersionId"]) for one in versions] == [
        (key(checkpoint.size), Publication.objects.get().receipt.rpartition("=")[2])
    ]


def test_another_note_in_place_is_an_alarm(
    use: Use, client: Any, backend: Any, caplog: pytest.LogCaptureFixture
) -> None:
    use(s3=backend())
    checkpoint = sealed()
    client.put_object(Bucket="notes", Key=key(checkpoint.size), Body=b"another")
    [outcome] = run("s3")
    assert "is another note than the one that was sealed" in outcome.error
    assert "CRITICAL" in caplog.text
    assert len(client.list_object_versions(Bucket="notes")["Versions"]) == 1


def test_storage_that_knows_no_condition_is_looked_at_first(
    use: Use, client: Any, backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Plain:
        """A client of storage that answers conditions with 501."""

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def put_object(self, **given: Any) -> Any:
            if "IfNoneMatch" in given:
                raise ClientError({"Error": {"Code": "NotImplemented"}}, "PutObject")
            return client.put_object(**given)

    monkeypatch.setattr(S3Publisher, "_client", Plain())
    use(s3=backend())
    first, second = sealed(), sealed()
    client.put_object(Bucket="notes", Key=key(second.size), Body=second.note.encode())
    assert [one.state for one in run("s3")] == ["published"]
    assert len(client.list_object_versions(Bucket="notes")["Versions"]) == 2
    assert client.get_object(Bucket="notes", Key=key(first.size))["ObjectLockMode"] == "COMPLIANCE"


AWAY = {"endpoint_url": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("given", "said"), [({"bucket": "elsewhere"}, "NoSuchBucket"), (AWAY, "EndpointConnectionError")]
)
def test_storage_that_refuses_or_is_away_is_tried_again(
    use: Use, client: Any, backend: Any, given: dict[str, str], said: str
) -> None:
    use(s3=backend(**given))
    sealed()
    [outcome] = run("s3")
    assert outcome.error.endswith(said)
    use(s3=backend())
    assert [one.state for one in run("s3", is_asked=True)] == ["published"]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"retain_days": 0}, "wanted 1 or more"),
        ({"retain_days": True}, "wanted 1 or more"),
        ({"mode": "compliance"}, "wanted one of COMPLIANCE, GOVERNANCE"),
        ({"bucket": ""}, "wanted its name"),
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_told(use: Use, given: dict[str, Any], wanted: str) -> None:
    use(s3={"BACKEND": BACKEND, "OPTIONS": {"bucket": "notes", "retain_days": 1, **given}})
    [message] = check_publishers(None)
    assert wanted in message.msg
