"""What may have been meant by a name that nobody knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint to the names that are most like it, with a blank before; empty without any.

    Examples
    --------
    >>> did_you_mean("trim", ["trim_pct", "seed"])
    " (did you mean 'trim_pct'?)"
    """
    close = difflib.get_close_matches(name, list(known), n=2, cutoff=0.6)
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""
