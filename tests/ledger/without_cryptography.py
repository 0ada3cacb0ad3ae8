"""
Run by ``test_without_cryptography`` in a process of its own, where ``cryptography`` and Django cannot be imported: prints what
the ledger says about every published vector below the folder that is the first argument.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any, NoReturn

BLOCKED = ("cryptography", "_cffi_backend", "nacl", "Crypto", "django")


class _Blocked(MetaPathFinder):
    """Nobody finds what is blocked, installed or not."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> None:
        if name.partition(".")[0] in BLOCKED:
            _refuse(name)


def _refuse(name: str) -> NoReturn:
    raise ModuleNotFoundError(f"{name} is blocked")


def verdicts(folder: Path) -> dict[str, Any]:
    """By file: what our own code says, in the file's order."""
    from auditkit_django.ledger import ed25519, note
    from auditkit_django.ledger.checkpoint import parse_checkpoint
    from auditkit_django.ledger.errors import AuditkitError

    def load(name: str) -> Any:
        return json.loads((folder / name).read_text(encoding="utf-8"))

    def holds(public: str, signature: str, message: str) -> bool:
        return ed25519.verify(*map(bytes.fromhex, (public, signature, message)))

    def opens(vector: dict[str, Any]) -> bool:
        try:
            keys = [note.parse_vkey(key) for key in vector["vkeys"]]
            return bool(note.verify(note.parse(vector["note"]), keys))
        except AuditkitError:
            return False

    groups = load("ed25519/wycheproof-ed25519_test.json")["testGroups"]
    checkpoints = sorted((folder / "notes").glob("c2sp-*checkpoint*.txt"))
    return {
        "wycheproof": [
            holds(group["publicKey"]["pk"], case["sig"], case["msg"]) for group in groups for case in group["tests"]
        ],
        "kat": [
            holds(one["public"], one["signature"][:128], one["message"])
            for one in load("ed25519/ed25519-sign-kat.json")
        ],
        "notes": [opens(vector) for vector in load("notes/signed-notes.json")],
        "checkpoints": [parse_checkpoint(note.parse(path.read_text()).text).size for path in checkpoints],
        "imported": sorted({name.partition(".")[0] for name in sys.modules} & set(BLOCKED)),
    }


if __name__ == "__main__":
    sys.meta_path.insert(0, _Blocked())
    json.dump(verdicts(Path(sys.argv[1])), sys.stdout)
