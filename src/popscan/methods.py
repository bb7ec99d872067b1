"""Method tables: from a name in the config to a function, and which options it takes.

A stage lists its methods as ``METHODS = {"cg_sense": "popscan.recon.sense:cg_sense"}``: strings,
so that what a method imports is loaded only once it is chosen. The options of a method are its
keyword-only arguments; their annotations say which values they take.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from popscan.records import PopscanError

#: Types of options: a number of 0 or more (weights, tolerances), how many of something there are,
#: and how many there may be.
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]

#: Keyword arguments that the caller fills in itself; they are no options of a config.
RESERVED = frozenset({"seed", "device"})


def resolve(table: Mapping[str, str], name: str, stage: str) -> Callable[..., Any]:
    """Load the function of a method.

    Parameters
    ----------
    table
        Method name -> ``"module:function"``.
    name
        The method asked for.
    stage
        Name of the stage, for the message.

    Returns
    -------
    callable
        The method.

    Raises
    ------
    PopscanError
        If there is no such method; the message lists those there are.
    """
    if name not in table:
        known = ", ".join(sorted(table))
        raise PopscanError(f"{stage}: there is no method {name!r}; known methods: {known}")
    module, _, function = table[name].partition(":")
    return getattr(importlib.import_module(module), function)


def option_names(
    function: Callable[..., Any], *, reserved: Collection[str] = RESERVED
) -> tuple[str, ...]:
    """List the options of a method: its keyword-only arguments, without the reserved ones."""
    return tuple(_options(function, reserved))


def option_problems(
    function: Callable[..., Any],
    options: Mapping[str, Any],
    *,
    reserved: Collection[str] = RESERVED,
) -> list[str]:
    """Compare options with what a method takes, without running it.

    Parameters
    ----------
    function
        The method, as `resolve` returns it.
    options
        Option name -> value, as the config gives them.
    reserved
        Keyword-only arguments that are not for the config.

    Returns
    -------
    list of str
        One sentence per problem (unknown name, wrong type or choice, missing); empty if none.
    """
    known = _options(function, reserved)
    hints = get_type_hints(function, include_extras=True)
    listing = ", ".join(sorted(known)) or "none"
    problems = []
    for name in sorted(options):
        if name not in known:
            problems.append(f"there is no option {name!r}; known options: {listing}")
        elif name in hints:
            problems.extend(
                f"option {name!r}: {text}, not {options[name]!r}"
                for text in _value_problems(hints[name], options[name])
            )
    for name, parameter in known.items():
        if parameter.default is inspect.Parameter.empty and name not in options:
            problems.append(f"option {name!r} is missing and has no default")
    return problems


def check_options(
    function: Callable[..., Any],
    options: Mapping[str, Any],
    *,
    reserved: Collection[str] = RESERVED,
) -> None:
    """Refuse options that a method does not take.

    Raises
    ------
    PopscanError
        Naming every problem that `option_problems` finds.
    """
    problems = option_problems(function, options, reserved=reserved)
    if problems:
        name = getattr(function, "__name__", repr(function))
        raise PopscanError(f"method {name}: " + "; ".join(problems))


def call_with(function: Callable[..., Any], *arguments: Any, **pool: Any) -> Any:
    """Call a function with those of several keyword arguments that it takes.

    Parameters
    ----------
    function
        With keyword-only arguments, named like what there is to hand over.
    arguments
        Positional arguments, all handed over.
    pool
        Keyword arguments, of which it gets those that it names.

    Raises
    ------
    PopscanError
        If it needs one that is not there; the message lists those that are.
    """
    parameters = inspect.signature(function).parameters.values()
    keywords = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return function(*arguments, **pool)
    missing = [p.name for p in keywords if p.default is p.empty and p.name not in pool]
    if missing:
        name = f"{function.__module__}:{function.__name__}"
        raise PopscanError(
            f"{name} needs {', '.join(missing)}; what there is: {', '.join(sorted(pool))}"
        )
    return function(*arguments, **{p.name: pool[p.name] for p in keywords if p.name in pool})


def takes(function: Callable[..., object], name: str) -> bool:
    """Whether `call_with` would hand a function the keyword argument of this name.

    Examples
    --------
    >>> takes(lambda labels, *, image: image, "image"), takes(sorted, "image")
    (True, False)
    """
    parameters = inspect.signature(function).parameters.values()
    keyword, every = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD
    return any(p.kind is every or (p.kind is keyword and p.name == name) for p in parameters)


def _options(
    function: Callable[..., Any], reserved: Collection[str]
) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(function).parameters
    return {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name not in reserved
    }


def _value_problems(hint: Any, value: Any) -> list[str]:
    # Strict, or "3" and True would pass as numbers; the config's lists stand for tuples.
    adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    if isinstance(value, list):
        value = tuple(value)
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError as error:
        return sorted({_lower_first(item["msg"]) for item in error.errors()})
    return []


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
