"""Business records, and the textbook hash chain that a hot tenant is measured against."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from benchmarks.host.tracking import track


class Organization(models.Model):
    """A tenant."""

    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Document(models.Model):
    """What is saved again and again; audited by the package of this process."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    title = models.CharField(max_length=200)
    body = models.TextField(default="")
    status = models.CharField(max_length=16, default="draft")
    amount = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.title


class Narrow(models.Model):
    """The narrowest useful row: what one INSERT costs."""

    text = models.TextField()
    number = models.IntegerField()

    def __str__(self) -> str:
        return self.text


class ItemFields(models.Model):
    """What is written in bulk."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    title = models.CharField(max_length=200)
    amount = models.IntegerField(default=0)
    status = models.CharField(max_length=16, default="draft")

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.title


class Item(ItemFields):
    """Nobody audits it."""


class TrackedItem(ItemFields):
    """The same, tracked."""


class Order(models.Model):
    """The business row of a hot tenant's transaction."""

    customer = models.CharField(max_length=64)
    amount = models.IntegerField()

    def __str__(self) -> str:
        return self.customer


class ChainHead(models.Model):
    """Textbook chain: the row that is locked until the transaction commits."""

    tenant = models.CharField(max_length=128, primary_key=True)
    seq = models.BigIntegerField(default=0)
    hash = models.BinaryField()

    def __str__(self) -> str:
        return self.tenant


class ChainEntry(models.Model):
    """Textbook chain: one event, hashed together with the hash before it."""

    tenant = models.CharField(max_length=128)
    seq = models.BigIntegerField()
    body = models.TextField()
    hash = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "seq"], name="bench_chain_order")]

    def __str__(self) -> str:
        return f"{self.tenant} #{self.seq}"


track(Document, settings.BENCH_VARIANT)
if settings.BENCH_VARIANT == "auditkit":
    track(TrackedItem, "tracked")
