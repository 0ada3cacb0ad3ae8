"""Northwind Cloud: a small SaaS that uses auditkit_django the way its users would."""
