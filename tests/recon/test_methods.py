"""Method tables: unknown names and options are errors that list what exists."""

import inspect
import subprocess
import sys
from typing import Literal

import pytest

from popscan import methods
from popscan.recon import LEARNED, METHODS
from popscan.records import PopscanError


def example(
    data,
    *,
    count: int,
    weight: float = 1.0,
    mode: Literal["a", "b"] = "a",
    sides: tuple[int, int] | None = None,
    seed: int = 0,
):
    return data, count, weight, mode, sides, seed


def test_every_entry_resolves_to_a_documented_function():
    for name in METHODS:
        function = methods.resolve(METHODS, name, "reconstruct")
        assert callable(function)
        assert function.__doc__


def test_an_unknown_method_lists_the_known_ones():
    with pytest.raises(PopscanError, match=r"no method 'grappa'.*cg_sense, .*zero_filled"):
        methods.resolve(METHODS, "grappa", "reconstruct")


def test_good_options_have_no_problem():
    options = {"count": 3, "weight": 2, "mode": "b", "sides": [1, 2]}
    assert methods.option_problems(example, options) == []
    methods.check_options(example, options)
    assert methods.option_names(example) == ("count", "weight", "mode", "sides")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"count": 1, "wieght": 2.0}, "no option 'wieght'; known options: count, mode, sides"),
        ({"count": 1, "seed": 4}, "no option 'seed'"),
        ({"count": 1, "data": 4}, "no option 'data'"),
        ({}, "'count' is missing"),
        ({"count": "3"}, "'count': .*integer.*not '3'"),
        ({"count": True}, "'count': .*integer.*not True"),
        ({"count": 1, "mode": "c"}, "'mode': .*'a' or 'b'.*not 'c'"),
        ({"count": 1, "sides": [1]}, "'sides'"),
    ],
)
def test_each_problem_is_named(options, expected):
    with pytest.raises(PopscanError, match=expected):
        methods.check_options(example, options)


def test_all_problems_are_told_at_once():
    assert len(methods.option_problems(example, {"x": 1, "y": 2, "mode": "c"})) == 4


def test_listing_the_methods_loads_none_of_them():
    code = (
        "import sys, popscan.recon; "
        "assert 'scipy' not in sys.modules and 'popscan.recon.sense' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", METHODS)
def test_numbers_that_no_method_can_use_are_named(name):
    """A weight of -1 or no iteration gave a black image, or NaN, without a word."""
    function = methods.resolve(METHODS, name, "reconstruct")
    needed = {"model": "m"} if name in LEARNED else {}
    for option in methods.option_names(function):
        default = inspect.signature(function).parameters[option].default
        if isinstance(default, bool) or not (default is None or isinstance(default, (int, float))):
            continue
        (problem,) = methods.option_problems(function, {**needed, option: -1})
        assert problem.startswith(f"option {option!r}")
        if isinstance(default, float):
            assert methods.option_problems(function, {**needed, option: float("nan")})
