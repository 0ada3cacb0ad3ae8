"""The history of ``manage.py demo``: who, what they do, when, and the browser they do it with."""
