"""Many events of one operation, alike but for what they were done to: who, where and whose is resolved and cleaned once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.utils import timezone

from auditkit_django.conf import settings
from auditkit_django.drafts import Change, EventDraft, Target
from auditkit_django.log.identity import new_id
from auditkit_django.log.rows import EventRow
from auditkit_django.recording.cleaning import Notes
from auditkit_django.recording.coercion import changes_from, target_from
from auditkit_django.recording.encoding import disclose, encode_plain, encode_row, encode_subject
from auditkit_django.recording.record import build_draft


class Series:
    """
    Makes the rows of events that share ``action``, ``tenant``, ``metadata`` and the context of now.

    The rows are those of ``auditlog.event`` with the same arguments. Where they could differ (``PROCESSORS``, a value that is
    redacted, repaired or cut, an event near its limit) the long way is taken for that event.
    """

    def __init__(self, action: str, *, tenant: object = None, metadata: Mapping[str, object] | None = None) -> None:
        self.action, self.tenant, self.metadata = action, tenant, metadata
        self._draft: EventDraft | None = None
        if not settings.PROCESSORS:
            draft = build_draft(action=action, tenant=tenant, metadata=metadata)
            shared = encode_plain(draft)
            if shared is not None:
                self._begin(draft, shared)

    def _begin(self, draft: EventDraft, shared: dict[str, str]) -> None:
        self._draft, self._shared = draft, shared
        self._names = sorted({*shared, "changes", "targets"})
        # Four bytes at most to a character: an event below this is within the limit, whatever it is written in.
        self._room = settings.MAX_EVENT_BYTES // 4 - sum(map(len, shared.values()))
        self._notes = Notes()

    def row(self, target: Target, changes: Sequence[Change]) -> EventRow:
        """
        The row of one more event.

        Raises:
            MalformedError: It cannot be recorded.
        """
        draft = self._draft
        if draft is None:
            return self._long_way(target, changes)
        target, changes = target_from(target), changes_from(changes)
        notes = self._notes
        notes.text = notes.keys = notes.items = 0
        target_text, changes_text = encode_subject(target, changes, notes)
        if notes.found or len(target_text) + len(changes_text or "") > self._room:
            self._notes = Notes()
            return self._long_way(target, changes)
        texts = {**self._shared, "targets": target_text}
        if changes_text is not None:
            texts["changes"] = changes_text
        now = timezone.now()
        return EventRow(
            new_id(now),
            draft.tenant,
            now,
            now,
            draft.action,
            draft.category,
            draft.severity,
            draft.outcome,
            draft.actor.type,
            draft.actor.id,
            target.type,
            target.id,
            disclose({name: texts[name] for name in self._names if name in texts}),
        )

    def _long_way(self, target: Target, changes: Sequence[Change]) -> EventRow:
        return encode_row(
            build_draft(
                action=self.action, tenant=self.tenant, metadata=self.metadata, resource=target, changes=changes
            )
        )
