"""Where a command works: a project, one of its networks, and who signs."""

from dataclasses import dataclass, replace
from pathlib import Path

from icfleet.identities import load_identity, load_or_create_identity
from icfleet_protocol.candid import ServiceInterface, parse_did
from icfleet_protocol.errors import CandidError
from icfleet_protocol.identity import AnonymousIdentity, Ed25519Identity, Identity
from icfleet_router.errors import ProjectError
from icfleet_router.project import DfxProject, Network, ProjectCanister
from icfleet_router.project_files import find_candid, read_project

__all__ = ["Site", "open_site"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A project and the network a command speaks to."""

    project: DfxProject
    network: Network

    @property
    def admin_path(self) -> Path:
        """Key of the identity that deploys and administers."""
        return self.project.root / ".icfleet" / "identities" / "admin.pem"

    @property
    def gateway_path(self) -> Path:
        """Key of the identity that game servers use."""
        return self.project.root / ".icfleet" / "identities" / "gateway.pem"

    @property
    def network_path(self) -> Path:
        """Key that the local network's own keys are derived from."""
        return self.project.root / ".icfleet" / "identities" / "network.pem"

    def admin(self, chosen: Path | None) -> Ed25519Identity:
        """The identity of ``--identity``, else the project's admin, made on first use.

        Raises:
            IdentityFileError: If the key cannot be read or made.
        """
        return load_or_create_identity(self.admin_path) if chosen is None else load_identity(chosen)

    def caller(self, chosen: Path | None) -> Identity:
        """The identity of ``--identity``, else the admin's if there is one, else nobody's.

        Raises:
            IdentityFileError: If a key is there and cannot be read.
        """
        if chosen is None and not self.admin_path.exists():
            return AnonymousIdentity()
        return load_identity(self.admin_path if chosen is None else chosen)

    def interface(self, canister: ProjectCanister) -> ServiceInterface:
        """The canister's interface by its .did file.

        Raises:
            ProjectError: If the file is missing, or is no interface.
        """
        text = find_candid(self.project, canister)
        try:
            return parse_did(text)
        except CandidError as error:
            path = canister.candid or self.project.path
            reason = f"not a Candid interface: {error}"
            raise ProjectError(path, reason) from error


def open_site(dfx: Path, network: str, host: str | None) -> Site:
    """Read dfx.json and choose a network.

    Args:
        dfx: Path of dfx.json.
        network: Its name, or a URL.
        host: A URL to reach it at instead of what dfx.json says.

    Raises:
        ProjectError: If dfx.json is missing or malformed, or has no such network.
    """
    project = read_project(dfx.absolute())
    chosen = project.network(network)
    return Site(
        project=project,
        network=chosen if host is None else replace(chosen, host=host.rstrip("/")),
    )
