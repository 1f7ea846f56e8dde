"""``icfleet lint``: will Kybra compile this canister, and will it run as it reads?"""

from icfleet.lint.formatting import Style, format_findings
from icfleet.lint.runner import lint_analysis, lint_paths
from icfleet_localnet.kybra_host.findings import Finding, Place

__all__ = ["Finding", "Place", "Style", "format_findings", "lint_analysis", "lint_paths"]
