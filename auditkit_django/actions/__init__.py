"""
Actions: what may happen, under which name, and how it reads.

A registered action is a dotted name, ``object.past_fact`` (``member.invited``), with its category, severity, default
outcome, sentence and the controls that it helps to evidence. Importing this package registers the default taxonomy;
a host adds its own with :func:`register`, best in ``AppConfig.ready``::

    from auditkit_django import actions

    actions.register("invoice.approved", template="{actor} approved {target}[ over {metadata.amount}]")
"""

from __future__ import annotations

from auditkit_django.actions import registry, taxonomy
from auditkit_django.actions.registry import (
    Action,
    all_actions,
    closest,
    get,
    names_including_aliases,
    register,
)
from auditkit_django.actions.sentence import render

__all__ = ["Action", "all_actions", "closest", "get", "names_including_aliases", "register", "render"]

registry.load((*taxonomy.DEFAULTS, *taxonomy.INTERNAL))
