"""``icfleet build``: one canister's sources as a module that the local network installs."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from icfleet.lint import Finding, lint_analysis
from icfleet_localnet.bundle import write_module
from icfleet_localnet.errors import CanisterSourceError
from icfleet_localnet.kybra_host.frontend import analyze, public_service
from icfleet_localnet.kybra_host.source_graph import collect_sources
from icfleet_protocol.candid import format_did

__all__ = ["BuildResult", "build"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """A built canister."""

    wasm: bytes
    """The module: reproducible, uncompressed."""
    did: str
    """The Candid interface."""
    files: Mapping[str, bytes]
    """The bundled sources, by path below the bundle's root."""
    sha256: bytes
    """Of ``wasm``."""
    warnings: tuple[Finding, ...]
    """What runs, but not as it reads."""


def build(entry: Path, search_path: Sequence[Path], out: Path | None = None) -> BuildResult:
    """Build a canister.

    Args:
        entry: The file named as ``main`` in ``dfx.json``.
        search_path: The project's folders that modules are imported from.
        out: Where to write the module; the interface goes beside it, as ``.did``.

    Raises:
        CanisterSourceError: If Kybra would not compile it, or the canister would lack something
            or fail at install; carries all such findings.
        KybraMissingError: If the ``kybra`` package is not installed.
        OSError: If ``out`` cannot be written.
    """
    graph = collect_sources(entry, search_path)
    analysis = analyze(graph)
    findings = lint_analysis(analysis)
    errors = [one for one in findings if one.severity == "error"]
    if errors:
        raise CanisterSourceError(errors)
    did = format_did(public_service(analysis.interface))
    wasm = write_module(graph.entry.name, graph.files, did)
    if out is not None:
        _write(out, wasm)
        _write(out.with_suffix(".did"), did.encode())
    return BuildResult(
        wasm=wasm,
        did=did,
        files=graph.files,
        sha256=hashlib.sha256(wasm).digest(),
        warnings=tuple(findings),
    )


def _write(path: Path, content: bytes) -> None:
    """Replace a file at once, so that no reader finds half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)
