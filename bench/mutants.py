"""Mutants of a source file, made with cosmic-ray's operators, and which of them say something about the tests.

Each *place* (one spot in the code and one family of operators) counts once, however many mutants cosmic-ray makes
there: it has eleven for every binary operator, which would drown the rest.

Not counted, because no test could or should notice, or because any would:

- annotations, type aliases and `if TYPE_CHECKING`: never evaluated, or not by what runs;
- arguments of `raise`, f-strings and docstrings: the wording of messages and what they quote;
- the `*` and `/` of a signature: how it may be called, which mypy watches;
- keyword arguments that only say how an object looks or is laid out: `frozen`, `slots`, `repr`, `eq`, `kw_only`;
- decorators taken away: mostly a class that can't even be made, which every test notices;
- a mutant that is no Python, or equals its origin.

Counted, though no test can kill them: mutants that are equivalent for a reason only people see (`<` for `<=` where both
never meet; a bound on a cost). They are why the goal isn't 100 of 100.

>>> source = "def f(x: int | None) -> bool:\\n    return x == 1\\n"
>>> print(next(mutants_of("a.py", source)).diff())
-    return x == 1
+    return x != 1
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast  # type: ignore[import-untyped]
from cosmic_ray.mutating import mutate_code  # type: ignore[import-untyped]
from cosmic_ray.plugins import get_operator, operator_names  # type: ignore[import-untyped]

LAYOUT_FLAGS = frozenset({"frozen", "slots", "repr", "eq", "kw_only", "init"})
LEFT_OUT = ("RemoveDecorator", "VariableReplacer", "VariableInserter", "NoOp")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file: `operator` and `occurrence` are cosmic-ray's, `place` is (line, column, family)."""

    path: str
    source: str
    operator: str
    occurrence: int
    place: tuple[int, int, str]

    def code(self) -> str | None:
        """The mutated source; None when there is no real mutant."""
        made: str | None = mutate_code(self.source, get_operator(self.operator)(), self.occurrence)
        if made is None or made == self.source:
            return None
        try:
            ast.parse(made)
        except (SyntaxError, ValueError):
            return None
        return made

    def diff(self) -> str:
        """The lines that differ."""
        lines = difflib.unified_diff(self.source.splitlines(), (self.code() or "").splitlines(), lineterm="", n=0)
        return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


def mutants_of(path: str, source: str) -> Iterator[Mutant]:
    """All mutants of a file that are counted, in the order of cosmic-ray's operators."""
    nodes = list(ast_nodes(get_ast(source)))
    known: dict[str, list[tuple[Any, tuple[int, int]]]] = {}
    for name in operator_names():
        family = family_of(name)
        if family in LEFT_OUT:
            continue
        # There are eleven for each binary operator, and all of them change the same spots.
        spots = name.rpartition("_")[0] if family == "ReplaceBinaryOperator" else name
        if spots not in known:
            known[spots] = list(_spots(name, nodes))
        for occurrence, (node, position) in enumerate(known[spots]):
            if not _is_left_out(node, name):
                yield Mutant(path, source, name, occurrence, (*position, family))


def _spots(operator: str, nodes: list[Any]) -> Iterator[tuple[Any, tuple[int, int]]]:
    """The nodes that an operator changes, each as often as it does so, with their positions."""
    one = get_operator(operator)()
    for node in nodes:
        for position, _ in one.mutation_positions(node):
            yield node, position


def family_of(operator: str) -> str:
    """The family of a cosmic-ray operator.

    >>> family_of("core/ReplaceBinaryOperator_Add_Sub"), family_of("core/NumberReplacer")
    ('ReplaceBinaryOperator', 'NumberReplacer')
    """
    return operator.partition("/")[2].partition("_")[0]


def _is_left_out(node: Any, operator: str) -> bool:
    child, parent = node, node.parent
    if parent is not None and parent.type in ("param", "parameters") and node.type == "operator":
        return True
    while parent is not None:
        if parent.type in ("raise_stmt", "fstring"):
            return True
        if parent.type == "argument" and parent.children[0].type == "name" and parent.children[0].value in LAYOUT_FLAGS:
            return True
        if _is_annotation(parent, child) or _is_type_checking(parent):
            return True
        child, parent = parent, parent.parent
    return _is_type_alias(node, operator) or _is_type_checking(node)


def _is_annotation(parent: Any, child: Any) -> bool:
    if parent.type == "funcdef":
        return child is parent.annotation
    return parent.type == "tfpdef" or (parent.type == "annassign" and child is parent.children[1])


def _is_type_checking(node: Any) -> bool:
    return bool(node.type == "if_stmt" and node.children[1].get_code().strip() == "TYPE_CHECKING")


def _is_type_alias(node: Any, operator: str) -> bool:
    """`Name = A | B` at module level."""
    if not operator.startswith("core/ReplaceBinaryOperator_BitOr"):
        return False
    while node.parent is not None and node.type != "expr_stmt":
        node = node.parent
    above = node.parent and node.parent.parent
    return bool(node.type == "expr_stmt" and above and above.type == "file_input")
