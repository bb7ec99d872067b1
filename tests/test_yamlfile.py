"""YAML of people and strangers: a value, or one short message; never a hang or a traceback."""

from __future__ import annotations

import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from popscan.records import PopscanError
from popscan.yamlfile import MAX_BYTES, parse_yaml, read_yaml, shown


def bomb(levels: int, *, mapping: bool = False) -> str:
    lines = ["a0: &a0 {x: 1}" if mapping else "a0: &a0 [1, 1]"]
    for n in range(1, levels):
        inner = ", ".join(f"k{i}: *a{n - 1}" if mapping else f"*a{n - 1}" for i in range(9))
        lines.append(f"a{n}: &a{n} " + (f"{{{inner}}}" if mapping else f"[{inner}]"))
    return "\n".join(lines)


REFUSED = {
    "lists of aliases": (bomb(40), "those behind aliases counted"),
    "mappings of aliases": (bomb(40, mapping=True), "those behind aliases counted"),
    "merged aliases": (bomb(40, mapping=True).replace("k0:", "<<:"), "behind aliases counted"),
    "many values": ("a: [" + "1," * 300_000 + "]", "more than 200000 values"),
    "deep lists": ("a: " + "[" * 30 + "]" * 30, "more than 24 lists and mappings"),
    "very deep lists": ("[" * 100_000, "not valid YAML|more than 24"),
    "deep blocks": ("- " * 5000 + "x", "more than 24 lists and mappings"),
    "deep keys": ("? " * 5000 + "x", "more than 24 lists and mappings"),
    "alias of itself": ("a: &a [*a]", "is itself a part of"),
    "alias of nothing": ("a: *b", "stands for nothing"),
    "key twice": ("a: 1\nb: 2\na: 3", r"line 3: the key 'a' again \(first on line 1\)"),
    "key twice below": ("a: {b: [{c: 1, c: 2}]}", "the key 'c' again"),
    "huge number": ("a: " + "9" * 5000, "a number of 5000 characters"),
    "huge hexadecimal": ("a: 0x" + "f" * 5000, "a number of 5002 characters"),
    "no date": ("a: 2020-13-45", "month must be in 1..12"),
    "no integer": ("a: !!int x", "cannot hold"),
    "no boolean": ("a: !!bool x", "cannot hold"),
    "no timestamp": ("a: !!timestamp x", "cannot hold"),
    "objects": ("a: !!python/object/apply:os.system [x]", "not valid YAML"),
    "list as key": ("? [a]\n: b", "not valid YAML"),
    "two documents": ("a: 1\n---\na: 2", "not valid YAML"),
    "NUL": ("a: b\0", "not valid YAML"),
    "open quote": ("a: '" + "x" * 500_000, "not valid YAML"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_file_of_settings_holds_is_refused_at_once(name):
    text, message = REFUSED[name]
    began = time.process_time()
    with pytest.raises(PopscanError, match=message) as caught:
        parse_yaml(text, where="a.yaml")
    assert time.process_time() - began < 3
    assert str(caught.value).startswith("a.yaml: ")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: na\xefve\n", "line 1: byte 0xef; text in UTF-8 is expected"),
        (b"\xff\xfea\0:\0", "text in UTF-8 is expected"),
        (b"#" * (MAX_BYTES + 1), f"more than {MAX_BYTES} bytes"),
        (b"\x89HDF\r\n\x1a\n", "text in UTF-8 is expected"),
        (bytes(range(1, 32)), "not valid YAML"),
    ],
)
def test_files_that_are_no_text_are_refused(tmp_path, data, message):
    path = tmp_path / "a.yaml"
    path.write_bytes(data)
    with pytest.raises(PopscanError, match=message):
        read_yaml(path)


def test_no_file_and_a_folder(tmp_path):
    for path, message in ((tmp_path, "a folder; a file is"), (tmp_path / "none.yaml", "no such")):
        with pytest.raises(PopscanError, match=message):
            read_yaml(path)


def test_aliases_and_merges_within_the_limits_are_read():
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a, *a]\n"
    a = {"x": 1, "y": 2}
    assert parse_yaml(text, where="a") == {"a": a, "b": {"x": 1, "y": 3}, "c": [a, a]}


def test_what_a_byte_order_mark_precedes_is_read(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": 1}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False)
    | st.text(max_size=20) | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=20,
)  # fmt: skip


@given(VALUES)
@settings(max_examples=150, deadline=None)
def test_what_yaml_writes_is_read_back(value):
    assert parse_yaml(yaml.safe_dump(value), where="a") == value


@given(st.text(st.sampled_from("ab:-?[]{}&*!|>'\"%@#, \n\t0.1<=~"), max_size=60))
@settings(max_examples=400, deadline=None)
def test_any_text_is_a_value_or_a_message(text):
    """And the value is that of PyYAML."""
    try:
        value = parse_yaml(text, where="a")
    except PopscanError:
        return
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    assert repr(value) == repr(yaml.load(text, Loader=loader))


def test_messages_repeat_a_piece_of_a_value_only():
    nested: object = [1, 1]
    for _ in range(40):
        nested = [nested] * 9
    for value in (nested, {"a": nested}, "x" * 10**7, b"x" * 10**7, 10**5000, [10**5000]):
        assert len(shown(value)) <= 110
    assert shown({"a": [1, "b"]}) == "{'a': [1, 'b']}"
