"""Where a canister's imports are looked up."""

import os
from pathlib import Path

__all__ = ["search_path_of"]


def search_path_of(root: Path, entry: Path) -> tuple[Path, ...]:
    """Folders that a canister's imports are looked up in, besides the entry's own.

    The parent of the entry's folder comes first: in ``canisters/game/main.py`` it holds the
    packages that canisters share. Then the project's folder, as Kybra has it.

    Raises:
        ProjectError: If the entry is not below the project's folder, where Kybra must find it.
    """
    # Not resolved: a project may be reached through a symbolic link, and Kybra compares texts.
    inside = Path(os.path.normpath(entry.absolute()))
    if not inside.is_relative_to(root):
        # Loaded for this error only: the router brings the agent, which linting does without.
        from icfleet_router.errors import ProjectError  # noqa: PLC0415

        reason = f"is not below {root}, and Kybra bundles only what is: run this in its project"
        raise ProjectError(entry, reason)
    shared = inside.parent.parent
    return (shared, root) if shared != root and shared.is_relative_to(root) else (root,)
