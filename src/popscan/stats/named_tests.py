"""Names of statistical tests, as a sentence has them."""

from __future__ import annotations

#: Tests as tables name them -> as a sentence does.
_TESTS = {
    "chi-squared": "chi-squared tests",
    "fisher exact": "Fisher's exact test",
    "kruskal-wallis": "the Kruskal-Wallis test",
    "mann-whitney": "the Mann-Whitney test",
    "permutation (welch t)": "permutation tests of Welch's t",
    "welch t": "Welch's t-test",
    "welch t (spreads differ)": "Welch's t-test where spreads differ",
}


def named_test(test: str) -> str:
    """Return a statistical test's name for a sentence; an unknown one as it is.

    Examples
    --------
    >>> named_test("fisher exact"), named_test("other")
    ("Fisher's exact test", 'other')
    """
    return _TESTS.get(test, test)
