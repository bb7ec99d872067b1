"""The protocols that exist: one folder here each, and those of other packages.

Another package offers one by an entry point of the group ``popscan.protocols``, named like the
protocol: ``my_organ = "my_package:PROTOCOL"``.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from popscan.protocol import Protocol
from popscan.records import PopscanError

#: Group of entry points.
GROUP = "popscan.protocols"
#: The protocol of a config that names none.
DEFAULT = "cine_sax"


def built_in() -> list[str]:
    """Names of the protocols of popscan itself."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.ispkg)


def own() -> list[Protocol]:
    """Return the protocols of popscan itself, for words and colours of their columns."""
    return [get_protocol(name) for name in built_in()]


@cache
def every() -> tuple[Protocol, ...]:
    """Return popscan's protocols and those of other packages that can be loaded."""
    found = own()
    for name in _foreign():
        try:
            found.append(get_protocol(name))
        except PopscanError:
            continue  # `popscan check` reports it
    return tuple(found)


def known() -> dict[str, str]:
    """Name of every protocol that exists -> where it comes from (``popscan``, else a package)."""
    found = dict.fromkeys(built_in(), "popscan")
    for name, entry in _foreign().items():
        found.setdefault(name, entry.dist.name if entry.dist is not None else entry.value)
    return found


def _foreign() -> Mapping[str, EntryPoint]:
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP), key=str)}


@cache
def get_protocol(name: str) -> Protocol:
    """Return a protocol.

    Raises
    ------
    PopscanError
        If there is none of this name (the message lists those that exist), or it cannot be loaded.
    """
    if name in built_in():
        protocol = import_module(f"{__name__}.{name}").PROTOCOL
    elif name in _foreign():
        protocol = _load(_foreign()[name])
    else:
        raise PopscanError(
            f"protocol {name!r}: there is none of this name; expected one of: "
            f"{', '.join(sorted(known()))}"
        )
    if protocol.name != name:
        raise PopscanError(f"protocol {name!r} calls itself {protocol.name!r}; the same expected")
    return protocol


def protocol_of(options: Mapping[str, Any]) -> Protocol:
    """Return the protocol of a config, or of those parts of it that a stage is given."""
    return get_protocol(str(options.get("protocol", DEFAULT)))


def protocol_key(protocol: Protocol) -> dict[str, str]:
    """Return what a fingerprint holds of a protocol: what it did before there were protocols."""
    own = {} if protocol.name == DEFAULT else {"protocol": protocol.name}
    return own if protocol.version == "1" else {**own, "protocol_version": protocol.version}


def _load(entry: EntryPoint) -> Protocol:
    # A foreign package can fail in any manner when it is imported; the message names its package.
    try:
        protocol = entry.load()
    except Exception as error:
        raise PopscanError(
            f"protocol {entry.name!r}: {entry.value} cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(protocol, Protocol):
        raise PopscanError(
            f"protocol {entry.name!r}: {entry.value} is a {type(protocol).__name__}; "
            "a popscan.protocol.Protocol expected"
        )
    return protocol
