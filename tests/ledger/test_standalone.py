"""The verifier as one file: the sources as they are, run where nothing else is, and a wheel with nothing else in it."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from auditkit_django import __version__
from auditkit_django.ledger.standalone import _run, text

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "evidence" / "golden"


# Runs the file that is the first argument where neither Django nor cryptography nor the package on the disk can be imported, and
# says on stderr which of them, or what else that is not in the file, was.
ALONE = """
import runpy, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("auditkit_django", "cryptography", "django"):
            raise ModuleNotFoundError(f"{name} is blocked")

file = sys.argv.pop(1)
sys.meta_path.insert(0, Blocked())
sys.path.insert(0, ROOT)
try:
    runpy.run_path(file, run_name="__main__")
finally:
    tops = {name.partition(".")[0] for name in sys.modules} - {"auditkit_django", "__main__", "__mp_main__"}
    print(sorted(tops - sys.stdlib_module_names), file=sys.stderr)
""".replace("ROOT", repr(str(ROOT)))


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


def run(*command: object, cwd: Path = Path("/"), **given: object) -> subprocess.CompletedProcess[str]:
    """In another folder, with nothing of ours on the path; ``given`` is more environment."""
    environment = {"PATH": os.environ["PATH"], **{name: str(value) for name, value in given.items()}}
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


def write_bundle(path: Path, changes: dict[str, Callable[[bytes], bytes]]) -> None:
    """The plain bundle with members changed, and digests that fit again."""
    with zipfile.ZipFile(GOLDEN / "1" / "plain.bundle.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, change in changes.items():
        before = members[name]
        members[name] = change(before)
        assert members[name] != before
    manifest = json.loads(members.pop("manifest.json"))
    manifest["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, "manifest.json": json.dumps(manifest).encode()}.items():
            archive.writestr(name, content)


def with_a_forged_signature(path: Path) -> Path:
    """The plain bundle with a signature that does not hold."""

    def forge(note: bytes) -> bytes:
        return re.sub(rb"(\n\xe2\x80\x94 \S+ [A-Za-z0-9+/]{40})....", rb"\1AAAA", note)

    write_bundle(path, {"range.proof": forge, "checkpoint.note": forge})
    return path


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
def test_it_verifies_where_there_is_nothing_but_python(verifier: Path, form: str) -> None:
    path, key = GOLDEN / "1" / f"plain.{form}", key_of_plain()
    python = (sys.executable, "-I", "-S", "-c", ALONE, verifier)
    for words in ((path,), ("verify", path)):
        done = run(*python, *words, "--key", key)
        assert (done.returncode, done.stderr) == (0, "[]\n")
        assert done.stdout.startswith("VALID\n")
    report = json.loads(run(*python, path, "--key", key, "--json").stdout)
    assert report["verdict"] == "VALID"
    assert run(*python, path, "--key", "none").returncode == 3


@pytest.mark.processes
@pytest.mark.parametrize("form", ["bundle.zip", "csv", "json", "jsonl"])
def test_a_changed_byte_is_found_where_there_is_nothing_but_python(verifier: Path, tmp_path: Path, form: str) -> None:
    """A letter of a value that was recorded, in the bundle one that its own digests cover again."""
    changed = tmp_path / f"changed.{form}"
    if form == "bundle.zip":
        write_bundle(changed, {"entries.jsonl": lambda data: data.replace(b"member", b"membes", 1)})
    else:
        data = (GOLDEN / "1" / f"plain.{form}").read_bytes()
        at = data.index(b"org.updated", len(data) // 2)
        changed.write_bytes(data[:at] + b"p" + data[at + 1 :])
    done = run(sys.executable, "-I", "-S", "-c", ALONE, verifier, changed, "--key", key_of_plain())
    assert (done.returncode, done.stderr) == (2, "[]\n"), done.stdout
    assert done.stdout.startswith("INVALID\n")


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
def test_a_zipped_package_makes_the_same_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "package.zip", "w") as archive:
        for path in (ROOT / "auditkit_django" / "__init__.py", *(ROOT / "auditkit_django" / "ledger").rglob("*.py")):
            archive.write(path, path.relative_to(ROOT))
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from auditkit_django.ledger.standalone import main; main()"
    made = tmp_path / "verify.py"
    done = run(sys.executable, "-I", "-S", "-c", code, tmp_path / "package.zip", made)
    assert (done.returncode, done.stderr) == (0, "")
    assert made.read_bytes() == text().encode()
    assert done.stdout == f"{hashlib.sha256(text().encode()).hexdigest()}  {made}\n"


def test_the_version_that_it_names_is_that_of_the_package() -> None:
    assert text() == text(__version__)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("from auditkit_django import auditlog", "auditkit_django.auditlog is imported"),
        ("from auditkit_django import __version__", "'__version__' of auditkit_django is imported"),
        ("import auditkit_django.ledger.tiles", None),
        ("def late():\n    from .tiles import HEIGHT", None),
        ("QUOTES = \"'''\"", "in it"),
    ],
)
def test_what_a_module_imports_is_in_it_or_it_is_not_made(tmp_path: Path, line: str, said: str | None) -> None:
    """In a copy of the package one module imports something more."""
    package = tmp_path / "auditkit_django"
    shutil.copytree(ROOT / "auditkit_django" / "ledger", package / "ledger")
    for name in ("__init__.py", "auditlog.py"):
        shutil.copy(ROOT / "auditkit_django" / name, package)
    with (package / "ledger" / "note.py").open("a") as file:
        file.write(f"\n{line}\n")
    spec = importlib.util.spec_from_file_location("copied", package / "ledger" / "standalone.py")
    assert spec is not None
    assert spec.loader is not None
    copied = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copied)
    if said is None:
        assert "auditkit_django.ledger.tiles" in sources_in(copied.text())
    else:
        with pytest.raises(ValueError, match=re.escape(said)):
            copied.text()


def test_what_is_imported_for_types_only_is_not_in_it() -> None:
    nodes = _run(ast.parse("if TYPE_CHECKING:\n    import a\nelse:\n    import b\nif x:\n    import c"))
    assert [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names] == ["b", "c"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the backend itself, which fetches nothing."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT / "verifier", check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [path] = folder.glob("*.whl")
    return path


@pytest.mark.processes
def test_the_wheel_is_one_module(wheel: Path) -> None:
    assert wheel.name == f"auditkit_verify-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        members = {name.replace(__version__, "X"): archive.read(name) for name in archive.namelist()}
    about = "auditkit_verify-X.dist-info"
    described = {f"{about}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")}
    assert members.keys() == {"auditkit_verify.py", *described}
    assert members["auditkit_verify.py"] == text().encode()
    assert members[f"{about}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    required = [line for line in members[f"{about}/METADATA"].decode().splitlines() if line.startswith("Requires-Dist")]
    assert required == ["Requires-Dist: cryptography>=44; extra == 'fast'"]


@pytest.mark.processes
def test_its_command_verifies_where_nothing_else_is_installed(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    pip = (
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--no-index",
        "--no-deps",
        "--target",
        target,
        wheel,
    )
    assert run(sys.executable, *pip).returncode == 0
    assert {path.name for path in target.glob("*.py")} == {"auditkit_verify.py"}
    # As `bin/auditkit-verify` is run, but by a Python that has no site packages.
    command = (sys.executable, "-S", target / "bin" / "auditkit-verify")
    path, key = GOLDEN / "1" / "plain.jsonl", key_of_plain()
    done = run(*command, path, "--key", key, PYTHONPATH=target)
    assert (done.returncode, done.stderr, done.stdout.partition("\n")[0]) == (0, "", "VALID")
    assert run(*command, "--help", PYTHONPATH=target).stdout.startswith("usage: auditkit-verify ")
    forged = with_a_forged_signature(tmp_path / "forged.zip")
    assert run(*command, forged, "--key", key, PYTHONPATH=target).returncode == 2
