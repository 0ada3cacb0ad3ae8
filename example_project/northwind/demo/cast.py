"""The two customers and their people. Addresses are of the ranges for documentation (RFC 5737, RFC 3849, RFC 2606)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

PASSWORD: Final = "quiet-harbor-42"
STAFF: Final = "staff@northwind.example"

_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15"
_WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)
_LINUX = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
_PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.1 Mobile/15E148 Safari/604.1"
)
SCRIPT: Final = "python-httpx/0.28.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with a browser. ``role`` is the one they are invited as; days count from the company's first."""

    name: str
    email: str
    ip: str
    user_agent: str
    role: str = "member"
    first_day: int = 0
    last_day: int = 10_000
    first_password: str = PASSWORD


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A customer. ``opens`` is the hour (UTC) at which its people begin to work."""

    name: str
    slug: str
    opens: int
    people: tuple[Person, ...]
    projects: tuple[str, ...]
    clients: tuple[str, ...]

    def person(self, first_name: str) -> Person:
        """Whose first name it is."""
        return next(person for person in self.people if person.name.startswith(f"{first_name} "))


#: Northwind's own, a customer of nobody: may act as customers' people.
SUPPORT: Final = Person(
    name="Northwind Support", email="support@northwind.example", ip="192.0.2.250", user_agent=_LINUX, role="support"
)

#: One auditor for both: signed in once, she switches between the two, and each log has only its own events of hers.
_RUTH = Person(
    name="Ruth Okafor",
    email="ruth@okafor-audit.example",
    ip="198.51.100.77",
    user_agent=_WINDOWS,
    role="auditor",
    first_day=13,
)

ACME: Final = Company(
    name="Acme Robotics",
    slug="acme-robotics",
    opens=7,
    people=(
        Person(
            name="Mara Lindqvist",
            email="mara@acme-robotics.example",
            ip="192.0.2.14",
            user_agent=_MAC,
            role="owner",
            first_password=f"{PASSWORD}-first",
        ),
        Person(
            name="Tomás Rivera",
            email="tomas@acme-robotics.example",
            ip="192.0.2.21",
            user_agent=_LINUX,
            role="admin",
            first_day=1,
        ),
        Person(
            name="Priya Raman",
            email="priya@acme-robotics.example",
            ip="192.0.2.35",
            user_agent=_MAC,
            first_day=2,
            first_password=f"{PASSWORD}-first",
        ),
        Person(
            name="Jonas Weber",
            email="jonas@acme-robotics.example",
            ip="2001:db8:4a::1f",
            user_agent=_WINDOWS,
            first_day=3,
            last_day=80,
        ),
        Person(
            name="Amélie Durand", email="amelie@acme-robotics.example", ip="192.0.2.62", user_agent=_PHONE, first_day=9
        ),
        Person(
            name="Kenji Mori", email="kenji@acme-robotics.example", ip="203.0.113.140", user_agent=_LINUX, first_day=41
        ),
        _RUTH,
    ),
    projects=(
        "Harbor crane retrofit",
        "Warehouse fleet",
        "Vision module 3",
        "Gripper test bench",
        "Line 4 automation",
        "Cobot safety study",
        "Spare parts portal",
        "Pallet sorter",
        "Field telemetry",
        "Charging docks",
    ),
    clients=("Orion Freight", "Pallas Foods", "Nordhafen", "Helix Labs", "Tessera Motors"),
)

HARBOR: Final = Company(
    name="Blue Harbor Health",
    slug="blue-harbor-health",
    opens=13,
    people=(
        Person(
            name="Daniel Osei", email="daniel@blueharbor.example", ip="203.0.113.9", user_agent=_WINDOWS, role="owner"
        ),
        Person(
            name="Hannah Brandt",
            email="hannah@blueharbor.example",
            ip="203.0.113.24",
            user_agent=_MAC,
            role="admin",
            first_day=1,
            first_password=f"{PASSWORD}-first",
        ),
        Person(
            name="Leila Haddad",
            email="leila@blueharbor.example",
            ip="203.0.113.31",
            user_agent=_WINDOWS,
            first_day=2,
            first_password=f"{PASSWORD}-first",
        ),
        Person(
            name="Marcus Lee", email="marcus@blueharbor.example", ip="2001:db8:b0::2a", user_agent=_PHONE, first_day=4
        ),
        Person(
            name="Sofia Petrova",
            email="sofia@blueharbor.example",
            ip="203.0.113.58",
            user_agent=_LINUX,
            first_day=6,
            last_day=97,
        ),
        Person(name="Noah Kim", email="noah@blueharbor.example", ip="203.0.113.77", user_agent=_MAC, first_day=33),
        replace(_RUTH, first_day=20),
    ),
    projects=(
        "Patient intake redesign",
        "Clinic onboarding: Eastside",
        "Claims reconciliation",
        "Telehealth pilot",
        "Consent forms 2.0",
        "Lab results feed",
        "Referral network",
        "Night shift roster",
        "Vaccine inventory",
    ),
    clients=("Eastside Clinics", "Meridian Hospital", "Coastal Care", "Juniper Pediatrics"),
)

COMPANIES: Final = (ACME, HARBOR)
