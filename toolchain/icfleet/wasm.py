"""``icfleet wasm``: one canister compiled by the real Kybra, for dfx and icp-cli."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from icfleet.errors import KybraError
from icfleet.kybra_build import KybraBuild, KybraRequest, build_with_kybra
from icfleet.kybra_python import ensure_kybra_venv, find_kybra_python
from icfleet.progress import Progress
from icfleet.search_path import search_path_of
from icfleet_localnet.kybra_host.source_graph import SourceGraph, collect_sources

__all__ = ["WasmRequest", "compile_wasm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WasmRequest:
    """What the user asked for."""

    root: Path
    """The project's folder."""
    name: str
    entry: Path
    python: Path | None
    """The Python for Kybra's venv, or ``None`` to find one."""
    out: Path | None
    """Where to copy the module to, beside ``.kybra/<name>/``."""


def compile_wasm(
    request: WasmRequest, environ: Mapping[str, str], progress: Progress
) -> KybraBuild:
    """Compile a canister, or take the build of the same sources.

    Raises:
        ProjectError: If the entry is not below the project's folder.
        CanisterSourceError: If the sources cannot be read.
        KybraError: If Kybra cannot be run, fails, or leaves something out.
    """
    entry = request.entry.absolute()
    search_path = search_path_of(request.root, entry)
    graph = collect_sources(entry, search_path)
    installed = _write_installed(graph, request.root / ".icfleet" / "kybra-packages")
    venv = ensure_kybra_venv(
        request.root / ".icfleet" / "kybra-venv",
        lambda: find_kybra_python(environ, home=Path.home(), own=Path(sys.executable)),
        progress,
        chosen=request.python,
    )
    build = build_with_kybra(
        KybraRequest(
            root=request.root,
            name=request.name,
            entry=entry,
            search_path=(*search_path, installed),
            sources=graph.files,
        ),
        venv,
        environ,
    )
    if request.out is not None:
        _copy(build.wasm, request.out)
    return build


def _write_installed(graph: SourceGraph, folder: Path) -> Path:
    """Copy packages that are installed here, and not in Kybra's own venv, below the project.

    Kybra looks below its working directory and in its own site-packages only.
    """
    own = {module.name.partition(".")[0] for module in graph.modules.values() if module.is_own}
    for path, content in graph.files.items():
        package = path.partition("/")[0].removesuffix(".py")
        if package not in own:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    return folder


def _copy(wasm: Path, out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(wasm, out)
    except OSError as error:
        message = f"cannot write {out}: {error.strerror}"
        raise KybraError(message) from error
