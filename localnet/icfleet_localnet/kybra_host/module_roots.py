"""Where modules are looked for: folders on disk, or the files of a bundle."""

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Literal, Protocol

__all__ = ["BundleRoot", "DirectoryRoot", "FoundModule", "ModuleKind", "ModuleRoot", "find_module"]

ModuleKind = Literal["module", "package", "namespace", "extension"]


class ModuleRoot(Protocol):
    """A folder that modules are looked for in; paths are relative and use ``/``."""

    @property
    def is_third_party(self) -> bool:
        """Whether it holds installed packages and not the project's own code."""
        ...

    def is_file(self, path: str) -> bool:
        """Whether ``path`` is a file."""
        ...

    def is_folder(self, path: str) -> bool:
        """Whether ``path`` is a folder."""
        ...

    def read(self, path: str) -> bytes:
        """Return a file's content."""
        ...

    def iterate_sources(self, folder: str) -> Iterator[str]:
        """Give the paths of all Python files below ``folder``, sorted."""
        ...

    def describe(self, path: str) -> str:
        """Return the path as people know it."""
        ...

    def identify(self, path: str) -> str:
        """Return what two paths to one file have in common."""
        ...


@dataclass(frozen=True, slots=True)
class DirectoryRoot:
    """A folder on disk."""

    folder: Path
    is_third_party: bool = False
    has_namespaces: bool = True
    """Whether folders without ``__init__.py`` count: in a project's own folder, which a package
    that is installed for editing adds, most are no packages at all."""

    def is_file(self, path: str) -> bool:
        """Whether ``path`` is a file."""
        return (self.folder / path).is_file()

    def is_folder(self, path: str) -> bool:
        """Whether ``path`` is a folder."""
        return self.has_namespaces and (self.folder / path).is_dir()

    def read(self, path: str) -> bytes:
        """Return a file's content.

        Raises:
            OSError: If it cannot be read, or is a pipe or a device, which would never end.
        """
        file = self.folder / path
        if file.exists() and not file.is_file():
            raise OSError(errno.EINVAL, "not a regular file", str(file))
        return file.read_bytes()

    def iterate_sources(self, folder: str) -> Iterator[str]:
        """Give the paths of all Python files below ``folder``; linked folders are left out."""
        found: list[str] = []
        for parent, _, names in os.walk(self.folder / folder):
            relative = Path(parent).relative_to(self.folder)
            found.extend((relative / name).as_posix() for name in names if name.endswith(".py"))
        yield from sorted(found)

    def describe(self, path: str) -> str:
        """Return the path on disk."""
        return str(self.folder / path)

    def identify(self, path: str) -> str:
        """Return the absolute path, links followed."""
        return str((self.folder / path).resolve())


@dataclass(frozen=True, slots=True)
class BundleRoot:
    """The files of a bundle."""

    files: Mapping[str, bytes]
    is_third_party: bool = False

    def is_file(self, path: str) -> bool:
        """Whether ``path`` is in the bundle."""
        return path in self.files

    def is_folder(self, path: str) -> bool:
        """Whether a file of the bundle lies below ``path``."""
        prefix = f"{path}/"
        return any(one.startswith(prefix) for one in self.files)

    def read(self, path: str) -> bytes:
        """Return a file's content."""
        return self.files[path]

    def iterate_sources(self, folder: str) -> Iterator[str]:
        """Give the paths of all files below ``folder``, sorted."""
        prefix = f"{folder}/"
        yield from sorted(path for path in self.files if path.startswith(prefix))

    def describe(self, path: str) -> str:
        """Return the path in the bundle."""
        return path

    def identify(self, path: str) -> str:
        """Return the path in the bundle."""
        return path


@dataclass(frozen=True, slots=True)
class FoundModule:
    """Where a module's name leads."""

    root: ModuleRoot
    path: str
    """The source file, or the folder of a package."""
    kind: ModuleKind

    @property
    def source_path(self) -> str:
        """The file to read: ``__init__.py`` of a package."""
        return f"{self.path}/__init__.py" if self.kind == "package" else self.path


def find_module(name: str, roots: Sequence[ModuleRoot], folder: str = "") -> FoundModule | None:
    """Find a module or package called ``name`` in ``folder`` of the first root that has it.

    As Python's own finder does: in one folder a package wins over a module, and a folder without
    ``__init__.py`` counts only when no root has anything better.
    """
    path = f"{folder}/{name}" if folder else name
    namespace: FoundModule | None = None
    for root in roots:
        if root.is_file(f"{path}/__init__.py"):
            return FoundModule(root, path, "package")
        if any(root.is_file(f"{path}{suffix}") for suffix in EXTENSION_SUFFIXES):
            return FoundModule(root, path, "extension")
        if root.is_file(f"{path}.py"):
            return FoundModule(root, f"{path}.py", "module")
        if namespace is None and root.is_folder(path):
            namespace = FoundModule(root, path, "namespace")
    return namespace
