"""Makes the one module of the wheel: the sources of the ledger, as ``ledger.standalone`` puts them together."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_LEDGER = Path(__file__).parents[1] / "auditkit_django" / "ledger"


class MakesTheModule(BuildHookInterface):  # type: ignore[type-arg]
    """Adds ``auditkit_verify.py``."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the module where the wheel takes it from."""
        # By its path: neither the package nor Django need be installed where this is built.
        spec = importlib.util.spec_from_file_location("standalone", _LEDGER / "standalone.py")
        assert spec is not None
        assert spec.loader is not None
        standalone = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(standalone)
        self._folder = tempfile.TemporaryDirectory()
        module = Path(self._folder.name) / "auditkit_verify.py"
        module.write_bytes(standalone.text().encode())
        build_data["force_include"][str(module)] = "auditkit_verify.py"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Drop what the wheel has by now."""
        self._folder.cleanup()
