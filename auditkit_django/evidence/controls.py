"""
Frameworks and their controls, as the report names them.

Titles say in our own words what a control is about. Which events help to evidence it is said by each action
(``Action.controls``); a control that only a host's own actions name has no title here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """A framework: ``prefix`` stands before the codes that actions name, ``titles`` map such a code to words."""

    name: str
    detail: str
    titles: Mapping[str, str]
    prefix: str = ""


FRAMEWORKS: Final[Mapping[str, Framework]] = {
    "soc2": Framework(
        name="SOC 2",
        detail="Trust Services Criteria",
        titles={
            "C1.1": "Confidential information is identified and protected",
            "C1.2": "Confidential information is disposed of",
            "CC4.1": "Controls are evaluated, continually and separately",
            "CC6.1": "Logical access is restricted to who is authorized",
            "CC6.2": "Users are registered before access, and removed after",
            "CC6.3": "Access follows roles, least privilege and separation of duties",
            "CC6.6": "Access from outside of the boundary is protected",
            "CC6.7": "Moving and removing information is restricted",
            "CC7.1": "Changes of configuration and new weaknesses are detected",
            "CC7.2": "Systems are monitored for anomalies",
            "CC7.3": "Security events are evaluated",
            "CC8.1": "Changes are authorized, tested and approved",
            "CC9.2": "Risk of vendors and partners is managed",
            "P4.3": "Personal information is disposed of securely",
            "PI1.2": "Inputs are complete and accurate",
            "PI1.5": "Stored inputs and outputs are complete and accurate",
        },
    ),
    "iso27001": Framework(
        name="ISO/IEC 27001:2022",
        detail="Annex A",
        titles={
            "A.5.14": "Transfer of information",
            "A.5.15": "Access control",
            "A.5.16": "Identities over their life",
            "A.5.17": "Passwords, keys and other secrets for authentication",
            "A.5.18": "Access rights are given, reviewed and withdrawn",
            "A.5.19": "Security in relations with suppliers",
            "A.5.25": "Security events are assessed and decided on",
            "A.5.28": "Evidence is collected and preserved",
            "A.5.33": "Records are protected",
            "A.5.34": "Privacy and personal data",
            "A.8.2": "Privileged access rights",
            "A.8.3": "Access to information is restricted",
            "A.8.5": "Secure authentication",
            "A.8.9": "Configurations are managed",
            "A.8.10": "Information is deleted when no longer needed",
            "A.8.12": "Leakage of data is prevented",
            "A.8.15": "Logging",
            "A.8.16": "Monitoring of activities",
            "A.8.20": "Security of networks",
            "A.8.24": "Use of cryptography",
            "A.8.32": "Changes are managed",
        },
    ),
    "hipaa": Framework(
        name="HIPAA Security Rule",
        detail="45 CFR Part 164",
        prefix="164.",
        titles={
            "308(a)(1)(ii)(D)": "Activity of information systems is reviewed",
            "308(a)(3)(ii)(C)": "Access ends when employment ends",
            "308(a)(4)": "Access to health information is managed",
            "308(a)(5)(ii)(C)": "Log-ins are monitored",
            "312(a)(1)": "Access control",
            "312(a)(2)(i)": "Each user is identified uniquely",
            "312(a)(2)(ii)": "Access in an emergency",
            "312(a)(2)(iv)": "Encryption and decryption",
            "312(b)": "Audit controls: activity is recorded and examined",
            "312(c)(1)": "Integrity: no improper change or destruction",
            "312(c)(2)": "Means to show that nothing was changed or destroyed",
            "312(d)": "Persons and entities are authenticated",
            "312(e)(1)": "Security of transmission",
            "316(b)(2)(i)": "Documentation is kept for six years",
        },
    ),
    "pci_dss": Framework(
        name="PCI DSS 4.0",
        detail="Requirement 10",
        titles={
            "10.2.1.1": "Each user's access to cardholder data is logged",
            "10.2.1.2": "All actions with administrative access are logged",
            "10.2.1.3": "All access to audit logs is logged",
            "10.2.1.4": "All invalid attempts at logical access are logged",
            "10.2.1.5": "Changes of identities, credentials and privileges are logged",
            "10.2.1.6": "Starting, stopping and pausing of audit logs is logged",
            "10.2.1.7": "Creation and deletion of system-level objects is logged",
            "10.2.2": "Each entry tells user, kind, time, outcome, origin and object",
            "10.3.2": "Audit logs are protected from changes",
            "10.3.4": "Changes of existing audit logs are detected",
            "10.4.1": "Audit logs are reviewed daily",
            "10.5.1": "Audit logs are kept for twelve months",
            "10.7.2": "Failures of critical security controls are detected and answered",
        },
    ),
    "nist800_53": Framework(
        name="NIST SP 800-53",
        detail="Revision 5",
        titles={
            "AC-2(4)": "Acts on accounts are audited automatically",
            "AC-3": "Access is enforced",
            "AC-6(9)": "Use of privileged functions is logged",
            "AC-7": "Unsuccessful log-ons",
            "AU-5": "Failures of audit logging are answered",
            "AU-6": "Audit records are reviewed, analyzed and reported",
            "AU-7": "Audit records are reduced and reported on demand",
            "AU-9": "Audit information is protected",
            "AU-9(3)": "Audit information is protected by cryptography",
            "AU-10": "Non-repudiation",
            "AU-11": "Audit records are retained",
            "AU-12": "Audit records are generated",
            "AU-12(3)": "Who is authorized may change what is audited",
            "CM-3": "Changes of configuration are controlled",
        },
    ),
}
