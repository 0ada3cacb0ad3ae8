"""
Evidence: events of one log with the proof that they are unchanged and all there, as files of four formats.

``form`` has the documents that every format holds, ``rows`` how an event is written, ``bundle`` and ``files`` how a format is
read, ``check`` the verification. The formats are told in docs/evidence.md.
"""
