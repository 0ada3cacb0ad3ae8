"""``manage.py auditkit_*``."""
