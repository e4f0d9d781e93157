"""Small mistakes, one at a time: each way in which one node of a module's syntax tree may be wrong.

The kinds are those that people make: a bound that is one off, a comparison or a condition that is
left out, one side taken for the other, a line that is forgotten, an entry that a table lacks.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SMALL_MAX: Final = 256
"""Numbers above this are sizes of caches and portions: one more or less is no mistake."""

COMPARISONS: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE,),
    ast.LtE: (ast.Lt,),
    ast.Gt: (ast.GtE,),
    ast.GtE: (ast.Gt,),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
OTHER_SIDE: Final = (
    ("debit", "credit"),
    ("young", "old"),
    ("first", "last"),
    ("min", "max"),
    ("any", "all"),
    ("earliest", "latest"),
    ("start", "end"),
    ("since", "until"),
    ("topic", "partition"),
)
SQL: Final = re.compile(r"\b(SELECT|WHERE|JOIN|GROUP BY|CASE|FILTER|coalesce|sum)\b", re.IGNORECASE)
SQL_MISTAKES: Final = (
    (r" <> ", " = "),
    (r" = ", " <> "),
    (r" < ", " <= "),
    (r" > ", " >= "),
    (r" <= ", " < "),
    (r" >= ", " > "),
    (r" AND ", " OR "),
    (r" OR ", " AND "),
    (r"IS NOT NULL", "IS NULL"),
    (r"IS NULL", "IS NOT NULL"),
    (r" \+ ", " - "),
    (r" - ", " + "),
    (r"\bmin\(", "max("),
    (r"\bmax\(", "min("),
    (r"\bNOT ", ""),
    (r"\bdebit", "credit"),
    (r"\bcredit", "debit"),
    (r"\bLEFT JOIN", "JOIN"),
    (r"\bSELECT DISTINCT", "SELECT"),
    (r"\bUNION ALL", "UNION"),
)
QUIET: Final = ("log", "logger", "_log")
"""What is said to people: another word there is no mistake of this kind."""

WORDS_AROUND: Final = 40

Function = ast.FunctionDef | ast.AsyncFunctionDef
Display = ast.Set | ast.List | ast.Tuple


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake.

    module: its path from the project's folder. function: the outermost function that has it, with
    its class; empty at the module's level. line: of the node, from 1. before, after: its code.
    number: among those of the function that read the same, from 0.
    """

    module: str
    function: str
    line: int
    before: str
    after: str
    number: int
    code: Callable[[], CodeType]

    @property
    def name(self) -> str:
        """The same as long as the function is: lines may move."""
        again = f" #{self.number}" if self.number else ""
        return f"{self.module}:{self.function}: {self.before} -> {self.after}{again}"

    @property
    def lot(self) -> int:
        """A number drawn from the name: those with the smallest are a sample."""
        return int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:8], "big")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node is: the field of its parent, and its index there if that is a list."""

    parent: ast.AST
    field: str
    index: int | None

    def put(self, node: ast.AST) -> None:
        """Another node there."""
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def mutants(module: str) -> list[Mutant]:
    """Every mistake in a module of the worker, in the order of its text."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    seen: Counter[tuple[str, str, str]] = Counter()
    found = []
    for place, node, function in _nodes(tree, ""):
        for other in _mistakes(node, names):
            before, after = _words(node, other)
            if before == after:
                continue
            key = (function, before, after)
            line = getattr(node, "lineno", 0)
            code = _coder(tree, module, place, other)
            found.append(Mutant(module, function, line, before, after, seen[key], code))
            seen[key] += 1
    return found


def _coder(tree: ast.Module, module: str, place: Place, other: ast.AST) -> Callable[[], CodeType]:
    def code() -> CodeType:
        place.put(other)
        ast.fix_missing_locations(tree)
        return compile(tree, str(ROOT / module), "exec")

    return code


def _text(node: ast.AST) -> str:
    text = " ".join(ast.unparse(ast.fix_missing_locations(node)).split())
    return text or "nothing"


def _words(node: ast.AST, other: ast.AST) -> tuple[str, str]:
    """What is there, and what instead: of a condition or a table only what differs."""
    if isinstance(node, ast.If) and isinstance(other, ast.If):
        return f"if {_text(node.test)}", f"if {_text(other.test)}"
    if isinstance(node, Display) and isinstance(other, Display):
        kept = {id(entry) for entry in other.elts}
        (left_out,) = (entry for entry in node.elts if id(entry) not in kept)
        return f"entry {_text(left_out)}", "nothing"
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _differing(_text(node), _text(other))
    return _text(node), _text(other)


def _differing(before: str, after: str) -> tuple[str, str]:
    """Where two long texts differ, with a few words around."""
    start = next(
        (at for at, (one, two) in enumerate(zip(before, after, strict=False)) if one != two), 0
    )
    end = next(
        (
            at
            for at, (one, two) in enumerate(zip(before[::-1], after[::-1], strict=False))
            if one != two
        ),
        0,
    )
    start = max(0, start - WORDS_AROUND)
    end = max(0, min(end, len(before) - start, len(after) - start) - WORDS_AROUND)
    return before[start : len(before) - end], after[start : len(after) - end]


def _nodes(parent: ast.AST, function: str) -> Iterator[tuple[Place, ast.AST, str]]:
    """Every node that runs, with where it is and its outermost function."""
    for field, value in ast.iter_fields(parent):
        if field in {"annotation", "returns", "decorator_list", "type_params", "bases"}:
            continue
        children = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, node in children:
            if not isinstance(node, ast.AST) or _is_said(node):
                continue
            yield Place(parent, field, index), node, function
            if _narrows(node):
                continue
            yield from _nodes(node, _inside(node, function, parent))


def _inside(node: ast.AST, function: str, parent: ast.AST) -> str:
    """The name of what a node's children belong to: `Class.method`, `function`, or nothing."""
    if isinstance(node, ast.ClassDef) and not function:
        return node.name + "."
    if isinstance(node, Function) and (not function or isinstance(parent, ast.ClassDef)):
        return function + node.name
    return function


def _is_said(node: ast.AST) -> bool:
    """What is no code of this kind: imports, types, docstrings, texts for people, log lines."""
    match node:
        case (
            ast.Import()
            | ast.ImportFrom()
            | ast.JoinedStr()
            | ast.Expr(value=ast.Constant())
            | ast.Subscript(value=ast.Name(id="Literal"))
            # A longer field is cut by what packs it, a shorter one does not fit.
            | ast.Call(func=ast.Attribute(attr="to_bytes"))
            | ast.If(test=ast.Name(id="TYPE_CHECKING"))
            | ast.Assign(targets=[ast.Name(id="__all__")])
            | ast.keyword(arg="strict")
        ):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=owner))):
            return (owner.id if isinstance(owner, ast.Name) else _attribute(owner)) in QUIET
    return False


def _attribute(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else ""


def _mistakes(node: ast.AST, names: set[str]) -> Iterator[ast.AST]:
    """What may stand in a node's place by mistake."""
    match node:
        case ast.Compare() | ast.BoolOp() | ast.UnaryOp() | ast.BinOp() | ast.IfExp():
            yield from _expressions(node)
        case ast.If(test=test) if not isinstance(test, ast.Constant):
            yield _with(node, test=ast.Constant(value=False))
            yield _with(node, test=ast.Constant(value=True))
        case ast.Constant():
            yield from _constants(node)
        case ast.comprehension(ifs=[_, *_]):
            for number in range(len(node.ifs)):
                yield _with(node, ifs=[*node.ifs[:number], *node.ifs[number + 1 :]])
        case ast.Set() | ast.List() | ast.Tuple():
            yield from _shorter(node)
        case ast.Name() | ast.Attribute():
            yield from _other_side(node, names)
        case ast.Subscript(slice=ast.Constant(value=0)):
            last = ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1))
            yield _with(node, slice=last)
        case ast.stmt():
            yield from _forgotten(node)


def _expressions(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare():
            yield from _compared(node)
        case ast.BoolOp():
            yield from _joined(node)
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.UnaryOp(op=ast.USub()) if not isinstance(node.operand, ast.Constant):
            yield node.operand
        case ast.BinOp() if type(node.op) in ARITHMETIC:
            yield _with(node, op=ARITHMETIC[type(node.op)]())
            yield node.left
        case ast.IfExp():
            yield node.body
            yield node.orelse


def _forgotten(node: ast.stmt) -> Iterator[ast.AST]:
    """A line that is not there."""
    match node:
        case ast.Expr() | ast.AugAssign() | ast.Delete() | ast.Raise():
            yield ast.Pass()
        case ast.Assign() if all(
            isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets
        ):
            yield ast.Pass()
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Continue()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    """A copy that differs in some fields; what is below them is shared."""
    other = copy.copy(node)
    for field, value in fields.items():
        setattr(other, field, value)
    return other


def _compared(node: ast.Compare) -> Iterator[ast.AST]:
    for number, operator in enumerate(node.ops):
        for kind in COMPARISONS[type(operator)]:
            yield _with(node, ops=[*node.ops[:number], kind(), *node.ops[number + 1 :]])


def _joined(node: ast.BoolOp) -> Iterator[ast.AST]:
    yield _with(node, op=ast.And() if isinstance(node.op, ast.Or) else ast.Or())
    for number, value in enumerate(node.values):
        if _narrows(value):
            continue
        left = [*node.values[:number], *node.values[number + 1 :]]
        yield left[0] if len(left) == 1 else _with(node, values=left)


def _narrows(node: ast.AST) -> bool:
    """Is it there for the type checker? Without it most code does the same, or fails loudly."""
    return (
        isinstance(node, ast.Compare)
        and isinstance(node.ops[0], ast.IsNot | ast.Is)
        and isinstance(node.comparators[0], ast.Constant)
        and node.comparators[0].value is None
    )


def _constants(node: ast.Constant) -> Iterator[ast.AST]:
    if isinstance(node.value, bool):
        yield ast.Constant(value=not node.value)
    elif isinstance(node.value, int) and node.value <= SMALL_MAX:
        yield ast.Constant(value=node.value + 1)
    elif isinstance(node.value, str) and SQL.search(node.value):
        for wrong, instead in SQL_MISTAKES:
            for found in re.finditer(wrong, node.value):
                text = node.value[: found.start()] + instead + node.value[found.end() :]
                yield ast.Constant(value=text)


def _shorter(node: Display) -> Iterator[ast.AST]:
    """One entry less; what is assigned to, unpacked or a subscript keeps its length."""
    if isinstance(getattr(node, "ctx", None), ast.Store):
        return
    if isinstance(node, ast.Tuple) and len(node.elts) == 2:
        return
    if len(node.elts) > 1:
        for number in range(len(node.elts)):
            yield _with(node, elts=[*node.elts[:number], *node.elts[number + 1 :]])


def _other_side(node: ast.Name | ast.Attribute, names: set[str]) -> Iterator[ast.AST]:
    if not isinstance(node.ctx, ast.Load):
        return
    name = node.id if isinstance(node, ast.Name) else node.attr
    for pair in OTHER_SIDE:
        for side, other in (pair, pair[::-1]):
            instead = re.sub(f"(?<![a-z]){side}(?![a-z])", other, name, flags=re.IGNORECASE)
            known = instead in names or instead in {"min", "max", "any", "all"}
            if instead != name and known:
                yield _with(node, **{"id" if isinstance(node, ast.Name) else "attr": instead})
