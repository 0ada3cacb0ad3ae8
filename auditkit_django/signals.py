"""
Signals we send. Receivers run in the process that caused them; a failing receiver never loses an event.

``event_recorded``
    after an event was written, in the caller's transaction. ``sender``: ``Event``; ``id``, ``tenant``, ``action``,
    ``outcome``.
``event_lost``
    an event could not be recorded and ``ON_ERROR`` is ``"log"``. ``action``, ``error``.
``events_appended``
    after a pass of the appender committed. ``sender``: ``Log``; ``tenants`` (key to number of new entries).
``log_sealed``
    a checkpoint was written. ``sender``: ``Log``; ``tenant``, ``note`` (the signed note).
``checkpoint_refused``
    a publisher holds, or a witness has seen, another history of the log: an alarm. ``sender``: ``Log``; ``tenant``, ``size``,
    ``publisher``, ``error``.
``verification_failed``
    a verification ended with findings. ``sender``: ``Log``; ``report``.
"""

from __future__ import annotations

from django.dispatch import Signal

event_recorded = Signal()
event_lost = Signal()
events_appended = Signal()
log_sealed = Signal()
checkpoint_refused = Signal()
verification_failed = Signal()
