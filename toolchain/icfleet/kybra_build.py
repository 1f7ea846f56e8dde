"""One Kybra build for all canisters of a source: run, check what it bundled, keep by hash.

Kybra leaves a module that it does not find out of the bundle without a word, and copies modules
flat by file name, so that one may overwrite another; the canister then traps at installation.
Therefore every file of our own import graph is compared with what Kybra bundled.

Source: ``kybra`` 0.7.1, ``kybra/__main__.py``.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from icfleet.errors import KybraError
from icfleet.kybra_python import KYBRA_RUST_VERSION, KYBRA_VERSION
from icfleet.wasm_sections import add_custom_section, custom_section_names

__all__ = ["KybraBuild", "KybraRequest", "build_with_kybra", "source_hash"]

_CANDID_SECTION = "icp:public candid:service"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class KybraRequest:
    """What to build."""

    root: Path
    """The project's folder: Kybra's working directory, below which it looks for modules."""
    name: str
    """The canister's name; Kybra makes it a cargo package and a folder below ``.kybra``."""
    entry: Path
    """The canister's entry file, below ``root``."""
    search_path: tuple[Path, ...]
    """Folders below ``root`` from which modules are imported."""
    sources: Mapping[str, bytes]
    """Our own import graph: path in the bundle, such as ``pkg/mod.py``, to content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KybraBuild:
    """What was built, or found built."""

    wasm: Path
    did: Path
    source_hash: str
    is_reused: bool


def source_hash(sources: Mapping[str, bytes]) -> str:
    """Name a build by what goes into it: Kybra's version, file names and contents."""
    digest = hashlib.sha256(f"kybra {KYBRA_VERSION}\n".encode())
    for path, content in sorted(sources.items()):
        digest.update(f"{path}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def build_with_kybra(request: KybraRequest, python: Path, environ: Mapping[str, str]) -> KybraBuild:
    """Build the canister, or copy the build of another canister with the same sources.

    Several of these may run at once, as icp-cli does: the first builds, the others wait and copy.

    Args:
        request: What to build.
        python: The Python of a venv that has Kybra.
        environ: The environment for the compiler.

    Raises:
        KybraError: If the name cannot be used, Kybra fails, or its bundle is not our import graph.
        SourceError: If what Kybra wrote is no WebAssembly module.
    """
    if not _NAME.fullmatch(request.name):
        message = f"canister name {request.name!r}: Kybra takes letters, digits and underscores"
        raise KybraError(message)
    key = source_hash(request.sources)
    kept = request.root / ".icfleet" / "wasm" / key
    with _lock(kept.with_name(f"{key}.lock")):
        is_reused = (kept / "canister.wasm").is_file()
        if not is_reused:
            _run_kybra(request, python, environ)
            _check_bundle(request)
            _keep(request, kept)
        wasm, did = _output_paths(request)
        wasm.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(kept / "canister.did", did)
        shutil.copyfile(kept / "canister.wasm", wasm)
    return KybraBuild(wasm=wasm, did=did, source_hash=key, is_reused=is_reused)


def _output_paths(request: KybraRequest) -> tuple[Path, Path]:
    folder = request.root / ".kybra" / request.name
    return folder / f"{request.name}.wasm", folder / f"{request.name}.did"


def _run_kybra(request: KybraRequest, python: Path, environ: Mapping[str, str]) -> None:
    wasm, did = _output_paths(request)
    entry = request.entry.relative_to(request.root)
    done = subprocess.run(  # noqa: S603 - our own venv's Python, no shell
        [str(python), "-m", "kybra", request.name, str(entry)],
        check=False,
        cwd=request.root,
        env={
            **environ,
            # Kybra writes its interface here; dfx would point it at the project's own .did file.
            "CANISTER_CANDID_PATH": str(did),
            "PYTHONPATH": os.pathsep.join(str(folder) for folder in request.search_path),
        },
        # Standard output is for answers; a build that takes minutes is followed on the other one.
        stdout=sys.stderr,
    )
    if done.returncode != 0 and not _has_rust(environ):
        message = (
            "Kybra could not install Rust (it downloads it on its first build): check the "
            "connection and run it again"
        )
        raise KybraError(message)
    if done.returncode != 0:
        message = f"Kybra ended with code {done.returncode}; its own words are above"
        raise KybraError(message)
    for path in (wasm, did):
        if not path.is_file():
            message = f"Kybra ended well but wrote no {path.relative_to(request.root)}"
            raise KybraError(message)


def _has_rust(environ: Mapping[str, str]) -> bool:
    """Whether Kybra's own Rust is there; it shares nothing with one that the user has."""
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    rust = home / ".config" / "kybra" / "rust" / KYBRA_RUST_VERSION
    return (rust / "bin" / "cargo").is_file()


def _check_bundle(request: KybraRequest) -> None:
    bundle = request.root / ".kybra" / request.name / "python_source"
    missing = [path for path in sorted(request.sources) if not (bundle / path).is_file()]
    if missing:
        message = (
            f"Kybra left out {', '.join(missing)}, so the canister would trap when installed; "
            "move the module below the project's folder, and import it absolutely in the entry file"
        )
        raise KybraError(message)
    for path, content in sorted(request.sources.items()):
        if (bundle / path).read_bytes() != content:
            message = (
                f"Kybra bundled another file as {path}: it copies modules flat by file name, "
                "so rename one of the two"
            )
            raise KybraError(message)


def _keep(request: KybraRequest, kept: Path) -> None:
    wasm, did = _output_paths(request)
    module, interface = wasm.read_bytes(), did.read_bytes()
    if _CANDID_SECTION not in custom_section_names(module):
        # dfx adds it by dfx.json's metadata; for icp-cli nobody else would.
        module = add_custom_section(module, _CANDID_SECTION, interface)
    kept.mkdir(parents=True, exist_ok=True)
    (kept / "canister.did").write_bytes(interface)
    draft = kept / "canister.wasm.draft"
    draft.write_bytes(module)
    draft.rename(kept / "canister.wasm")


@contextmanager
def _lock(path: Path) -> Generator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
