"""What the joined tables of a study of several protocols hang on; nothing heavy here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from popscan.jsontext import canonical_json
from popscan.protocols import get_protocol, known

#: Version of the joining itself: raised where it gives other tables.
_JOIN = "3"


def joined_options(names: Sequence[str]) -> dict[str, object]:
    """Return what the joined tables and the front page hang on, besides the parts' files.

    Parameters
    ----------
    names
        Protocols, in the order of the config.

    Returns
    -------
    dict
        With a digest of what the protocols declare of each other: versions and limits.
    """
    beside = {
        name: [one.facts() for one in get_protocol(name).beside]
        for name in names
        if name in known()
    }
    digest = hashlib.sha256(canonical_json(beside).encode()).hexdigest()[:16]
    return {"protocols": list(names), "version": _JOIN, "beside": digest}
