"""Population imaging studies: raw scans to biomarkers, atlases and a fairness audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from popscan.opened import open_study

__all__ = ["__version__", "open_study"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Loaded when it is used: every command imports this package.
    if name == "open_study":
        from popscan.opened import open_study

        return open_study
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
