"""The README's quick start as data: what it tells a reader to type, in order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"

_FENCE = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (?P<path>[\w/]+\.py)(?P<is_end> \(at the end\))?\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A shell command, or text for a file (``path``), added to it or instead of it."""

    text: str
    path: str | None = None
    is_added: bool = False


def quick_start() -> list[Step]:
    """The steps of the section "Ten minutes to your own", as printed."""
    section = README.read_text().partition("## Ten minutes to your own")[2].partition("\n## ")[0]
    return [step for fence in _FENCE.finditer(section) for step in _steps(fence["language"], fence["text"])]


def commands_of(heading: str) -> list[str]:
    """The shell commands of the section with this heading."""
    section = README.read_text().partition(f"## {heading}")[2].partition("\n## ")[0]
    return [step.text for fence in _FENCE.finditer(section) for step in _steps(fence["language"], fence["text"])]


def _steps(language: str, text: str) -> list[Step]:
    if language == "python":
        match = _FILE.match(text)
        assert match, f"a python block of the quick start does not say its file: {text[:60]!r}"
        return [Step(text=text, path=match["path"], is_added=bool(match["is_end"]))]
    assert language == "sh", language
    # A command goes on over lines while a quote is open.
    commands: list[str] = []
    for line in text.splitlines():
        if commands and commands[-1].count('"') % 2:
            commands[-1] += "\n" + line
        else:
            commands.append(line)
    return [Step(text=command) for command in commands if command.strip()]
