"""Stands in for ``python -m kybra NAME ENTRY``: the same arguments, environment and files.

It bundles like Kybra 0.7.1 (packages as folders, plain modules flat by file name) but compiles
nothing. ``FAKE_KYBRA`` chooses a failure; every run is noted in ``kybra-runs`` below the
working directory.
"""

import os
import shutil
import sys
from pathlib import Path

WASM = b"\0asm\x01\0\0\0"
DID = "service : () -> {}\n"


def main() -> None:
    name, entry = sys.argv[1:]
    did = os.environ["CANISTER_CANDID_PATH"]
    fault = os.environ.get("FAKE_KYBRA", "")
    with Path("kybra-runs").open("a") as runs:
        runs.write(f"{name} {entry}\n")
    sys.stdout.write(f"Building canister {name}\n")
    if fault == "fail":
        sys.exit("Kybra error: no")
    folder = Path(".kybra") / name
    shutil.rmtree(folder, ignore_errors=True)
    bundle(folder / "python_source", Path(entry), fault)
    if fault != "no-wasm":
        (folder / f"{name}.wasm").write_bytes(b"text" if fault == "no-module" else WASM)
    Path(did).write_text(DID)


def bundle(target: Path, entry: Path, fault: str) -> None:
    target.mkdir(parents=True)
    shutil.copy(entry, target)
    below = [Path(folder) for folder in sys.path if Path(folder).is_relative_to(Path.cwd())]
    found = [child for folder in below for child in folder.glob("*/__init__.py")]
    for package in {init.parent for init in found if "kybra-venv" not in init.parts}:
        if fault != "omit":
            shutil.copytree(package, target / package.name, dirs_exist_ok=True)
        if fault == "overwrite":
            shutil.copy(package / "__init__.py", target / entry.name)


main()
