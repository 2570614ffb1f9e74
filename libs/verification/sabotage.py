"""Writes test files whose tests must fail: the control that no forged pass survives.

A change that makes tests pass by any means other than being right (a patched runner, an early exit, replaced
test code, objects that equal everything) makes these pass as well, or keeps them from being seen at all. So a
pass counts only where the same test, altered in this way, was seen failing on the same tree.

Each test's body runs to its end as before, then the test fails; it fails unless one of the values it compared
for equality also equals something that it must not equal: then it passes, which gives the value away.
"""

from __future__ import annotations

import ast
import secrets
from collections.abc import Collection

from libs.verification.environment import TREE


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EQUALITIES = _words(
    """
    assertEqual assertEquals assertDictEqual assertListEqual assertTupleEqual assertSetEqual
    assertSequenceEqual assertMultiLineEqual assertCountEqual
    """
)


def sabotage(source: bytes, lines: Collection[int] | None, matchers: Collection[str] = ()) -> bytes | None:
    """Make the tests that start on these lines fail (None: every `test*` function); None if there are none.

    A line is the first of the function's code: that of its first decorator, if it has any. `matchers` are files
    of tests that say themselves what equals what.
    """
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    names = _Names()
    saboteur = _Saboteur(lines, names)
    saboteur.visit(module)
    if not saboteur.hits:
        return None
    place = 0
    while place < len(module.body) and _comes_first(module.body[place]):
        place += 1
    module.body[place:place] = ast.parse(
        _PRELUDE.format(n=names, tree=f"{TREE}/", matchers=tuple(sorted(matchers)), any=b"ANY" in source)
    ).body
    return ast.unparse(ast.fix_missing_locations(module)).encode("utf-8", "surrogatepass")


class _Names:
    """Names that differ each time, so that tested code cannot look for them."""

    def __init__(self) -> None:
        stem = f"_{secrets.choice('abcdefghkmnpqrstuvwxyz')}{secrets.token_hex(6)}"
        self.stranger, self.held, self.left, self.right, self.check = (f"{stem}_{n}" for n in "abcde")


#: Walks two values that were equal, and tells whether some part of them also equals what it must not equal.
#: Matchers that the tests define themselves may do so; values of plain types compare as Python does.
_PRELUDE = """
{n.stranger} = object()
def {n.check}(left, right, depth=4):
    plain = (int, float, complex, str, bytes, bool, type(None), list, tuple, dict, set, frozenset)
    try:
        if type(left) is type(right) and depth:
            if type(left) in (list, tuple):
                return any([{n.check}(a, b, depth - 1) for a, b in zip(left, right)])
            if type(left) is dict:
                return any([{n.check}(left[key], right[key], depth - 1) for key in left if key in right])
    except Exception:
        return False
    for value, other in ((left, right), (right, left)):
        if type(value) in plain:
            continue
        code = getattr(type(value).__eq__, '__code__', None)
        file = getattr(code, 'co_filename', '')
        if file == __file__ or file in {matchers!r} or ({any!r} and type(value).__name__ == '_ANY'):
            continue
        wrong = [{n.stranger}]
        if file.startswith({tree!r}) or not file:
            if type(other) in (int, float):
                wrong += [other + 1, other * 1000 + 1000003]
            elif type(other) is str:
                wrong.append(other + {n.held!r})
            elif type(other) is bytes:
                wrong.append(other + {n.held!r}.encode())
            elif type(other) in (list, tuple):
                wrong.append(other + type(other)([{n.stranger}]))
            elif type(other) is dict:
                wrong.append({{**other, {n.held!r}: {n.stranger}}})
            elif type(other) in (set, frozenset):
                wrong.append(other | {{{n.stranger}}})
            elif type(other) is bool:
                wrong.append(not other)
        for one in wrong:
            try:
                if value == one:
                    return True
            except Exception:
                pass
    return False
"""


def _comes_first(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.ImportFrom):
        return statement.module == "__future__"
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def first_line(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Give the line that the function's code object names as its first."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


class _Saboteur(ast.NodeTransformer):
    def __init__(self, lines: Collection[int] | None, names: _Names) -> None:
        self._lines = lines
        self._names = names
        self.hits = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        if self._lines is None:
            wanted = node.name.startswith("test")
        else:
            wanted = first_line(node) in self._lines
        if not wanted:
            self.generic_visit(node)
            return node
        self.hits += 1
        spy = _Spy(self._names)
        body = [statement for old in node.body for statement in spy.statements(old)]
        ending = ast.parse(
            f"if not {self._names.held}:\n    raise AssertionError('{secrets.token_hex(8)}')"
        ).body
        node.body = [
            *ast.parse(f"{self._names.held} = []").body,
            ast.Try(body=body, handlers=[], orelse=[], finalbody=ending),
        ]
        return node


class _Spy(ast.NodeTransformer):
    """Lets each comparison be repeated with an object that nothing can equal."""

    def __init__(self, names: _Names) -> None:
        self._names = names

    def statements(self, statement: ast.stmt) -> list[ast.stmt]:
        visited = self.visit(statement)
        return visited if isinstance(visited, list) else [visited]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.AST | list[ast.stmt]:
        match node.test:
            case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
                before, after = self._split(left, right)
                node.test.left, node.test.comparators = self._load("left"), [self._load("right")]
                return [*before, node, *after]
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.stmt]:
        match node.value:
            case ast.Call(func=ast.Attribute(attr=name), args=[left, right, *_]) if (
                name in _EQUALITIES
                and not isinstance(left, ast.Starred)
                and not isinstance(right, ast.Starred)
            ):
                before, after = self._split(left, right)
                node.value.args[:2] = [self._load("left"), self._load("right")]
                return [*before, node, *after]
        return node

    def _load(self, side: str) -> ast.expr:
        return ast.Name(id=getattr(self._names, side), ctx=ast.Load())

    def _split(self, left: ast.expr, right: ast.expr) -> tuple[list[ast.stmt], list[ast.stmt]]:
        names = self._names
        before: list[ast.stmt] = []
        for name, operand in ((names.left, left), (names.right, right)):
            before.append(ast.Assign(targets=[ast.Name(id=name, ctx=ast.Store())], value=operand))
        call = f"{names.check}({names.left}, {names.right})"
        after = ast.parse(f"if {call}:\n    {names.held}.append(1)").body
        return before, after
