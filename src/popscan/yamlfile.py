"""YAML that people or strangers wrote: read with limits on size, depth and aliases.

PyYAML alone reads an alias of aliases of aliases in an instant, and whatever then walks through the
result (a message, a copy, JSON) never ends; deep nesting ends in a `RecursionError`; of a key that
stands twice the last counts without a word, and 0012 is 10. Here all of that is a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from popscan.records import PopscanError

#: Bytes of a file: configs have some thousand, model.yaml of a calibrated bundle 50,000.
MAX_BYTES = 2**20
#: Mappings and lists within each other.
MAX_DEPTH = 24
#: Keys, values and list items, those that aliases stand for counted each time.
MAX_NODES = 200_000
#: Characters of a number.
MAX_DIGITS = 200
#: Longest piece of a file that a message repeats.
MAX_SHOWN = 100

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: What PyYAML's constructors raise beside YAMLError: ``2020-13-45``, ``!!int x``, ``!!bool x``, an
#: integer of 5,000 digits.
_DIGITS = re.compile(r"[-+]?(0x[0-9a-fA-F_]+|[-+0-9:_.eE]+)").fullmatch
_OTHER_BASE = re.compile(r"[-+]?(0_*[0-9][0-9_]*|[0-9_]+(:[0-5]?[0-9])+)").fullmatch
_CONSTRUCTION = (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError)


def read_yaml(path: Path, *, max_bytes: int = MAX_BYTES) -> Any:
    """Read a YAML file.

    Parameters
    ----------
    path
        A file of one document in UTF-8.
    max_bytes
        Longer files are refused before they are read.

    Raises
    ------
    PopscanError
        If it cannot be read, is no YAML, or is beyond a limit; the message is short.
    """
    try:
        if not path.is_file():
            wrong = "a folder; a file is expected" if path.is_dir() else "no such file"
            raise PopscanError(f"{path}: {wrong}")
        with path.open("rb") as stream:
            data = stream.read(max_bytes + 1)
    except OSError as error:
        raise PopscanError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(data) > max_bytes:
        raise PopscanError(f"{path}: more than {max_bytes} bytes; a YAML file of settings expected")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise PopscanError(
            f"{path}: line {line}: byte 0x{data[error.start]:02x}; text in UTF-8 is expected"
        ) from error
    return parse_yaml(text, where=str(path))


def parse_yaml(text: str, *, where: str) -> Any:
    """Return what a YAML text says, in plain Python types.

    Parameters
    ----------
    text
        One document.
    where
        Place of the text, for messages.

    Raises
    ------
    PopscanError
        If it is no YAML, holds a key twice in one mapping, or is beyond a limit.
    """
    try:
        _check_events(text, where)
        loader = _LOADER(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_keys(node, where)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise PopscanError(f"{where}: {_unparsed(error, text)}") from error
    except RecursionError as error:
        raise PopscanError(f"{where}: not valid YAML: nested too deeply") from error
    except _CONSTRUCTION as error:
        raise PopscanError(
            f"{where}: a value that YAML cannot hold ({type(error).__name__}: {shorten(error)})"
        ) from error


def _unparsed(error: yaml.YAMLError, text: str) -> str:
    """Say where a text stops being YAML, as line and column, and what is wrong there."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"not valid YAML: {shorten(error, 300)}"
    problem, start = getattr(error, "problem", None), getattr(error, "context_mark", None)
    lines = text.split("\n")
    line = lines[mark.line] if mark.line < len(lines) else ""
    where = f"line {mark.line + 1}, column {mark.column + 1}: not valid YAML: "
    if line[mark.column : mark.column + 1] == "\t":
        return f"{where}a tab; YAML is indented by spaces"
    begun = ""
    if start is not None and getattr(error, "context", None):
        # The parser's errors have a context, which their common base class does not declare.
        begun = f" ({error.context} that begins in line {start.line + 1})"  # type: ignore[attr-defined]
    return f"{where}{shorten(problem or error, 200)}{begun}"


def shown(value: object, *, most: int = MAX_SHOWN) -> str:
    """Return a value as a message repeats it: its repr, cut at `most` characters.

    Examples
    --------
    >>> shown("x" * 300, most=10)
    "'xxxxxxxxx..."
    """
    parts: list[str] = []
    length = 0
    for part in _pieces(value):
        parts.append(part)
        length += len(part)
        if length > most:
            break
    text = "".join(parts)
    return text if len(text) <= most else text[:most] + "..."


#: Types of pydantic's errors whose own words are a programmer's -> ours.
_PLAIN = {
    "int_parsing": "expected a whole number",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "string_type": "expected text",
    "list_type": "expected a list: [a, b]",
    "dict_type": "expected a mapping: {key: value}",
    "model_type": "expected a section: {key: value}",
    "model_attributes_type": "expected a section: {key: value}",
}


def problem_text(item: Mapping[str, Any], *, where: str) -> str:
    """Return one of pydantic's errors as a sentence: place, key, what is expected, what was found.

    Parameters
    ----------
    item
        Of ``ValidationError.errors()``.
    where
        Name of the file.
    """
    key = shorten(".".join(str(part) for part in item["loc"]) or "(top level)")
    message = shorten(f"{item['msg'][0].lower()}{item['msg'][1:]}", 300)
    message = message.removeprefix("value error, ")
    message = _PLAIN.get(str(item.get("type", "")), message)
    return f"{where}: {key}: {message}; found {shown(item['input'])}"


def _pieces(value: object) -> Iterator[str]:
    """Yield a value's repr piece by piece, so that one of gigabytes is never made."""
    if isinstance(value, dict):
        yield "{"
        for number, (key, item) in enumerate(value.items()):
            yield ", " if number else ""
            yield from _pieces(key)
            yield ": "
            yield from _pieces(item)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for number, item in enumerate(value):
            yield ", " if number else ""
            yield from _pieces(item)
        yield "]"
    elif isinstance(value, (str, bytes)):
        yield repr(value[: 10 * MAX_SHOWN])
    elif isinstance(value, int) and abs(value) > 10**200:
        yield "an integer of hundreds of digits"
    else:
        yield repr(value)


def shorten(text: object, most: int = MAX_SHOWN) -> str:
    """Return a text of one line, cut at `most` characters."""
    text = " ".join(str(text).split())
    return text if len(text) <= most else text[:most] + "..."


def _check_events(text: str, where: str) -> None:
    """Count depth and nodes without building anything, an alias for all that it stands for."""
    depth = n_nodes = 0
    begun: list[tuple[str | None, int]] = []
    sizes: dict[str, int] = {}
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            begun.append((event.anchor, n_nodes))
            n_nodes += 1
            depth += 1
            if event.anchor:
                sizes.pop(event.anchor, None)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = begun.pop()
            depth -= 1
            if anchor:
                sizes[anchor] = n_nodes - before
        elif isinstance(event, yaml.ScalarEvent):
            n_nodes += 1
            if event.anchor:
                sizes[event.anchor] = 1
            if len(event.value) > MAX_DIGITS and event.implicit[0] and _DIGITS(event.value):
                raise PopscanError(
                    f"{where}: line {_line(event)}: a number of {len(event.value)} characters"
                )
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise PopscanError(
                    f"{where}: line {_line(event)}: the alias *{shorten(event.anchor)} stands for "
                    "nothing, or for what it is itself a part of"
                )
            n_nodes += sizes[event.anchor]
        if depth > MAX_DEPTH:
            raise PopscanError(
                f"{where}: line {_line(event)}: more than {MAX_DEPTH} lists and "
                "mappings within each other"
            )
        if n_nodes > MAX_NODES:
            raise PopscanError(
                f"{where}: more than {MAX_NODES} values, those behind aliases counted"
            )


def _line(item: yaml.Event | Node) -> int:
    return item.start_mark.line + 1 if item.start_mark else 0


def _refuse_other_bases(item: ScalarNode, where: str) -> None:
    """Refuse integers that YAML reads in base 8 or 60: 0012 would be 10, 12:30 would be 750."""
    if item.tag == "tag:yaml.org,2002:int" and _OTHER_BASE(item.value):
        raise PopscanError(
            f"{where}: line {_line(item)}: {shorten(item.value)} is a number in base "
            f"{60 if ':' in item.value else 8} to YAML; a name or code is expected in quotes "
            f"('{shorten(item.value)}'), a number without leading zeros"
        )


def _check_keys(node: Node, where: str) -> None:
    """Refuse a key that one mapping holds twice; aliased parts are looked at once."""
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, ScalarNode):
            _refuse_other_bases(item, where)
        elif isinstance(item, SequenceNode):
            waiting += item.value
        elif isinstance(item, MappingNode):
            lines: dict[tuple[str, str], int] = {}
            for key, value in item.value:
                waiting += [key, value]
                # Merge keys are no names: each brings in another mapping.
                if not isinstance(key, ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                    continue
                name, line = (key.tag, key.value), _line(key)
                if name in lines:
                    raise PopscanError(
                        f"{where}: line {line}: the key {shorten(key.value)!r} again (first on "
                        f"line {lines[name]}); each key once is expected"
                    )
                lines[name] = line
