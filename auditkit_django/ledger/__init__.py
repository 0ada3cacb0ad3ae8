"""
The bedrock: bytes in, hashes and proofs out.

This room needs the standard library only (``cryptography`` is used where it is installed) and imports where Django is
not installed, because an auditor runs it on a machine of their own. It takes bytes, times and keys as arguments, and
neither reads a clock nor touches storage.

* ``entry``: the exact bytes that stand for an event in a log (DESIGN 4.3; a subset of RFC 8785).
* ``disclosure``: salted digests and the strings that open them (RFC 9901, object properties).
* ``merkle``: the tree over the leaf hashes: leaf, node, root (RFC 9162, section 2.1.1).
* ``ranges``: compact ranges, which stand for a run of leaves in a few hashes.
* ``proofs``: inclusion and consistency proofs (RFC 9162, sections 2.1.3 and 2.1.4) and range proofs.
* ``ed25519``: signatures, checked with the standard library alone where ``cryptography`` is absent (RFC 8032).
* ``note``: signed notes and verifier keys (C2SP signed-note).
* ``checkpoint``: size and root of a log in a signed note (C2SP tlog-checkpoint).
* ``tlog_proof``: inclusion proofs as text (C2SP tlog-proof).
* ``logged``: that a log's checkpoint stands in the log of checkpoints.
* ``licences``: what a log itself says may be missing: erasures and purges.
* ``range_proof``: range proofs as text.
* ``bundle``, ``bundle_check``, ``bundle_report``: evidence bundles, and their verification.
* ``base64``, ``strict_json``: base64 and JSON read without leniency.
* ``errors``: what goes wrong.

Callers import from the modules; nothing is re-exported here.
"""
