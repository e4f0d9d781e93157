"""Mistakes as people make them, from `by_hand.yaml`: other kinds than one changed node."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import yaml

from tests.mutants.mutations import ROOT, Mutant

BY_HAND: Final = Path(__file__).with_name("by_hand.yaml")


class GoneMistake(Exception):
    """What a mistake is about is not there any more, or not once."""


def by_hand() -> Iterator[Mutant | GoneMistake]:
    """Every mistake of the list; one that does not fit the code any more as what is wrong."""
    listed = yaml.safe_load(BY_HAND.read_text(encoding="utf-8"))
    for module, functions in listed.items():
        source = (ROOT / module).read_text(encoding="utf-8")
        for function, mistakes in functions.items():
            for before, after, what in mistakes:
                try:
                    line, text = _with_mistake(source, function, before, after)
                    compile(text, module, "exec")
                except (GoneMistake, SyntaxError) as error:
                    yield GoneMistake(f"{module}:{function}: {what}: {error}")
                    continue
                code = partial(compile, text, str(ROOT / module), "exec")
                yield Mutant(module, function, line, what, "by hand", 0, code)


def _with_mistake(source: str, function: str, before: str, after: str) -> tuple[int, str]:
    """The line where it begins, and the module with it."""
    start, end = _span(source, function)
    part = source[start:end]
    if part.count(before) != 1:
        raise GoneMistake(f"{before!r} is there {part.count(before)} times")
    at = start + part.index(before)
    return source.count("\n", 0, at) + 1, source[:at] + after + source[at + len(before) :]


def _span(source: str, function: str) -> tuple[int, int]:
    """Where a function begins and ends in its module; all of it for an empty name."""
    node: ast.AST = ast.parse(source)
    if not function:
        return 0, len(source)
    for name in function.split("."):
        found = [each for each in ast.iter_child_nodes(node) if getattr(each, "name", None) == name]
        if not found:
            raise GoneMistake("there is no such function")
        node = found[0]
    lines = source.splitlines(keepends=True)
    first, last = getattr(node, "lineno", 1), getattr(node, "end_lineno", len(lines))
    return len("".join(lines[: first - 1])), len("".join(lines[:last]))
