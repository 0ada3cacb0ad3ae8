"""
Calls the commands of ``aics-tlog`` with files in the folder that the first argument names, one call for each case that
standard input has (``cases.dumped``); prints whether each exited with 0. Knows nothing of the project.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

from aics_tlog.cli import main  # type: ignore[import-not-found]


def is_taken(arguments: list[str]) -> bool:
    """Whether the command says yes; whatever it raises is a no."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            return main(arguments) == 0
        except (Exception, SystemExit) as exc:
            return isinstance(exc, SystemExit) and exc.code == 0


def ask(case: dict[str, Any], folder: Path) -> bool:
    """The verdict on one case."""

    def file(name: str, data: bytes) -> str:
        path = folder / name
        path.write_bytes(data)
        return str(path)

    key = ["--log-key", case["vkey"], "--origin", case["origin"]]
    if case["kind"] == "tiles":
        return _of_tiles(case, key, file)
    note = file("note", b64decode(case["note"]))
    if not is_taken(["verify-checkpoint", "--note", note, *key]):
        return False
    proof = ["--proof", file("proof", "".join(f"{line}\n" for line in case["proof"]).encode())]
    size, root = _said(case["note"])
    if case["kind"] == "inclusion":
        entry = file("entry", b64decode(case["entry"]))
        place = ["--index", str(case["index"]), "--size", size, "--root", root]
        return is_taken(["verify-inclusion", "--leaf", entry, *place, *proof])
    if case["kind"] == "consistency":
        if not is_taken(["verify-checkpoint", "--note", file("old", b64decode(case["old"][0])), *key]):
            return False
        old_size, old_root = _said(case["old"][0])
        sizes = ["--old-size", old_size, "--new-size", size, "--old-root", old_root, "--new-root", root]
        return is_taken(["verify-consistency", *sizes, *proof])
    return True


def _of_tiles(case: dict[str, Any], key: list[str], file: Any) -> bool:
    tiles = ["--tiles", case["directory"], *key]
    if not is_taken(["verify-checkpoint", *tiles]):
        return False
    for old in case["old"]:
        if not is_taken(["verify-consistency", "--old-checkpoint", file("old", b64decode(old)), *tiles]):
            return False
    entry = file("entry", b64decode(case["entry"]))
    return is_taken(["verify-inclusion", "--leaf", entry, "--index", str(case["index"]), *tiles])


def _said(note: str) -> tuple[str, str]:
    _origin, size, root, *_rest = b64decode(note).decode().split("\n")
    return size, root


if __name__ == "__main__":
    verdicts = [ask(case, Path(sys.argv[1])) for case in json.load(sys.stdin)["cases"]]
    json.dump(verdicts, sys.stdout)
