"""Tracked models: plain, with a mask, proxied, inherited, with relations of each kind."""

from __future__ import annotations

from typing import ClassVar
from uuid import uuid4

from django.db import models

from auditkit_django import track
from tests.host.models import Organization


class Tag(models.Model):
    """Not tracked itself; tracked documents have many."""

    name = models.CharField(max_length=40)

    def __str__(self) -> str:
        return self.name


class Folder(models.Model):
    """Not tracked; its deletion reaches documents."""

    name = models.CharField(max_length=40)

    def __str__(self) -> str:
        return self.name


class CheapDocuments(models.Manager["Document"]):
    """A manager of the host's own."""

    def get_queryset(self) -> models.QuerySet[Document]:
        return super().get_queryset().filter(total__lt=100)


@track(tenant="organization", mask=["iban", "api_token"], exclude=["noise"])
class Document(models.Model):
    """Everything that a tracked model may have."""

    organization = models.ForeignKey(Organization, models.CASCADE)
    folder = models.ForeignKey(Folder, models.SET_NULL, null=True, blank=True)
    title = models.CharField(max_length=100)
    total = models.IntegerField(default=0)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    due = models.DateField(null=True)
    data = models.JSONField(default=dict)
    file = models.FileField(blank=True)
    blob = models.BinaryField(default=b"")
    iban = models.CharField(max_length=40, blank=True)
    api_token = models.CharField(max_length=80, blank=True)
    noise = models.IntegerField(default=0)
    touched_at = models.DateTimeField(auto_now=True)
    tags = models.ManyToManyField(Tag, related_name="documents")

    objects: ClassVar[models.Manager[Document]] = models.Manager()
    cheap = CheapDocuments()

    def __str__(self) -> str:
        raise RuntimeError("a host's __str__ may fail, and is never asked")


class DocumentProxy(Document):
    """The same rows under another class."""

    class Meta:
        proxy = True

    def __str__(self) -> str:
        return self.title


class Contract(Document):
    """A child with a table of its own, tracked through its parent."""

    counterparty = models.CharField(max_length=40, blank=True)

    def __str__(self) -> str:
        return self.counterparty


@track(tenant="organization")
class Lease(Document):
    """A child that is tracked itself."""

    months = models.IntegerField(default=12)

    def __str__(self) -> str:
        return str(self.months)


@track(tenant="document.organization", actions={"created": "data.shared", "deleted": "data.share.revoked"})
class Share(models.Model):
    """Its tenant is reached by a path; its actions have names of their own."""

    id = models.UUIDField(primary_key=True, default=uuid4)
    document = models.ForeignKey(Document, models.CASCADE)
    email = models.EmailField()

    def __str__(self) -> str:
        return self.email


@track(tenant=lambda country: "geo")
class Country(models.Model):
    """Named by a natural key."""

    code = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=40)

    def __str__(self) -> str:
        return self.name


@track(tenant="organization", mask=["iban"], triggers=True)
class Account(models.Model):
    """Written by other programs too: on PostgreSQL triggers see them."""

    organization = models.ForeignKey(Organization, models.CASCADE)
    holder = models.CharField(max_length=100)
    balance = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    visits = models.IntegerField(default=0)
    is_open = models.BooleanField(default=True)
    opened_at = models.DateTimeField(null=True)
    data = models.JSONField(default=dict)
    scan = models.BinaryField(default=b"")
    iban = models.CharField(max_length=40, blank=True)
    api_token = models.CharField(max_length=80, blank=True)
    touched_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.holder
