"""The verifier as one file: the sources as they are, run where nothing else is, and a wheel with nothing else in it."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from auditkit_django.ledger.standalone import text

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "evidence" / "golden"


def key_of_plain() -> str:
    return (GOLDEN / "1" / "vkey").read_text().splitlines()[0]


def sources_in(data: str) -> dict[str, tuple[str, str]]:
    """What the file says of its modules, without running it: place and source by name."""
    found = {}
    for node in ast.parse(data).body:
        if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Subscript):
            place, line, source = ast.literal_eval(node.value)
            assert not source or data.splitlines()[line].endswith(f"r'''{source.splitlines()[0]}")
            found[ast.literal_eval(target.slice)] = (place, source)
    return found


def run(*command: object, cwd: Path = Path("/")) -> subprocess.CompletedProcess[str]:
    """In another folder, without site packages and with nothing of ours on the path."""
    environment = {"PATH": os.environ["PATH"]}
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


@pytest.fixture
def verifier(tmp_path: Path) -> Path:
    path = tmp_path / "verify.py"
    path.write_text(text("0.0.0"))
    return path


def test_the_modules_in_it_are_those_of_the_package_word_for_word() -> None:
    found = sources_in(text("0.0.0"))
    assert found.pop("auditkit_django") == ("auditkit_django/__init__.py", "")
    assert {"auditkit_django.ledger.__main__", "auditkit_django.ledger.evidence.check"} <= found.keys()
    for name, (place, source) in found.items():
        assert (ROOT / place).read_text() == source, name
    # Nothing that verification does not need, and the same every time.
    assert not {name for name in found if name.endswith((".standalone", ".tiles", ".logged"))}
    assert text("0.0.0") == text("0.0.0")
    assert "auditkit-django 1.2.3, as one file" in text("1.2.3")


@pytest.mark.processes
@pytest.mark.parametrize("form", ["bundle.zip", "csv", "json", "jsonl"])
def test_it_verifies_where_there_is_nothing_but_python(verifier: Path, tmp_path: Path, form: str) -> None:
    path = GOLDEN / "1" / f"plain.{form}"
    key = key_of_plain()
    python = (sys.executable, "-I", "-S", verifier)
    done = run(*python, path, "--key", key)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("VALID\n")
    done = run(*python, "verify", path, "--key", key, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    broken = tmp_path / "broken"
    broken.write_bytes(data)
    assert run(*python, broken, "--key", key).returncode in (2, 3)
    assert run(*python, path, "--key", "none").returncode == 3


@pytest.mark.processes
def test_its_own_modules_are_run_and_their_lines_are_shown(tmp_path: Path) -> None:
    """Also where another version of the package is installed."""
    path = tmp_path / "verify.py"
    path.write_text(
        text("0.0.0").replace("options = _parser(prog)", "raise RuntimeError('ours'); options = _parser(prog)")
    )
    folder = tmp_path / "auditkit_django"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('theirs')")
    done = run(sys.executable, path, "x", "--key", "y")
    assert "RuntimeError: ours" in done.stderr
    assert "raise RuntimeError('ours'); options" in done.stderr.partition("RuntimeError: ours")[0]


def with_a_forged_signature(path: Path) -> Path:
    """The plain bundle with another signature, and with digests that fit."""
    with zipfile.ZipFile(GOLDEN / "1" / "plain.bundle.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name in ("range.proof", "checkpoint.note"):
        forged = re.sub(rb"(\n\xe2\x80\x94 \S+ [A-Za-z0-9+/]{40})....", rb"\1AAAA", members[name])
        assert forged != members[name]
        members[name] = forged
    manifest = json.loads(members.pop("manifest.json"))
    manifest["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, "manifest.json": json.dumps(manifest).encode()}.items():
            archive.writestr(name, content)
    return path


def believe_everything(folder: Path) -> None:
    """Put a ``cryptography`` there under which every signature holds, and a ``zipfile`` that cannot be imported."""
    inner = folder / "cryptography" / "hazmat" / "primitives" / "asymmetric"
    inner.mkdir(parents=True)
    (folder / "cryptography" / "exceptions.py").write_text("class InvalidSignature(Exception): pass\n")
    (inner / "ed25519.py").write_text(
        "class Ed25519PublicKey:\n"
        "    from_public_bytes = classmethod(lambda cls, public: cls())\n"
        "    verify = lambda self, signature, message: None\n"
    )
    for parent in (inner, *inner.parents[:3]):
        (parent / "__init__.py").touch()
    (folder / "zipfile.py").write_text("raise RuntimeError('theirs')\n")


@pytest.mark.processes
def test_what_lies_beside_it_or_where_it_is_run_is_not_imported(verifier: Path, tmp_path: Path) -> None:
    forged = with_a_forged_signature(tmp_path / "forged.zip")
    believe_everything(tmp_path)
    for way in ((verifier,), ("-m", "verify")):
        done = run(sys.executable, "-S", *way, forged, "--key", key_of_plain(), cwd=tmp_path)
        assert (done.returncode, done.stderr) == (2, "")
        assert "note.signature" in done.stdout


@pytest.mark.processes
def test_it_is_not_imported_where_the_package_is_in_use(verifier: Path) -> None:
    code = "import sys; sys.path[:0] = sys.argv[1:]; import auditkit_django, verify"
    done = run(sys.executable, "-I", "-c", code, ROOT, verifier.parent)
    assert "ImportError: auditkit_django is imported already" in done.stderr


@pytest.mark.processes
def test_a_module_that_is_not_in_it_is_not_looked_for_elsewhere(verifier: Path) -> None:
    """Half of it would be of another version."""
    code = "import sys; sys.path[:0] = sys.argv[1:]; import verify, auditkit_django.ledger.tiles"
    done = run(sys.executable, "-I", "-c", code, ROOT, verifier.parent)
    assert "ModuleNotFoundError: auditkit_django.ledger.tiles is not in the verifier" in done.stderr


def in_small_pieces(path: Path) -> Path:
    """The file with pieces so small that several processes walk them, each of which says so on stderr."""
    data = text("0.0.0")
    for old, new in {
        "MIN_PIECE: Final = 16 * 1024 * 1024\n": "MIN_PIECE: Final = 1000\n",
        "    at = piece.start\n": "    import sys; print('walked', file=sys.stderr); at = piece.start\n",
    }.items():
        assert data.count(old) == 1
        data = data.replace(old, new)
    path.write_text(data)
    return path


@pytest.mark.processes
def test_processes_that_it_starts_have_its_modules_too(tmp_path: Path) -> None:
    several = in_small_pieces(tmp_path / "verify.py")
    path = GOLDEN / "1" / "plain.jsonl"
    done = run(sys.executable, "-I", "-S", several, path, "--key", key_of_plain(), "--jobs", "3")
    assert (done.returncode, done.stderr) == (0, "walked\n" * 3)
    assert done.stdout.startswith("VALID\n")


@pytest.mark.processes
def test_processes_that_it_starts_do_not_import_what_lies_where_it_is_run(tmp_path: Path) -> None:
    several = in_small_pieces(tmp_path / "verify.py")
    (tmp_path / "multiprocessing.py").write_text("raise RuntimeError('theirs')\n")
    path = GOLDEN / "1" / "plain.jsonl"
    done = run(sys.executable, "-S", several, path, "--key", key_of_plain(), "--jobs", "3", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "walked\n" * 3)


@pytest.mark.processes
def test_the_wheel_is_one_module_and_a_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT / "verifier", check=True, capture_output=True)
    [wheel] = tmp_path.glob("auditkit_verify-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        modules = [name for name in archive.namelist() if ".dist-info/" not in name]
        assert modules == ["auditkit_verify.py"]
        data = archive.read("auditkit_verify.py").decode()
        metadata = next(name for name in archive.namelist() if name.endswith("METADATA"))
        assert b"Requires-Dist: cryptography" in archive.read(metadata)
        assert b"django" not in archive.read(metadata).lower().partition(b"\n\n")[0].replace(b"auditkit-django", b"")
    version = wheel.name.split("-")[1]
    assert data == text(version)
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    key = key_of_plain()
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from auditkit_verify import main; sys.exit(main())"
    done = run(sys.executable, "-I", "-S", "-c", code, target, GOLDEN / "1" / "plain.jsonl", "--key", key)
    assert (done.returncode, done.stderr, done.stdout.partition("\n")[0]) == (0, "", "VALID")
