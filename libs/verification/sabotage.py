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

from libs.verification.novelty import Novelty
from libs.verification.prelude import prelude
from libs.verification.syntax import parse


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EQUALITIES = _words(
    """
    assertEqual assertEquals assertDictEqual assertListEqual assertTupleEqual assertSetEqual
    assertSequenceEqual assertMultiLineEqual assertCountEqual
    """
)
#: Calls of `unittest` that must fail, by what a test uses: `{0}` and `{1}` are two objects.
_MUST_FAIL = {
    **dict.fromkeys(_EQUALITIES - {"assertEquals"}, "{self}.{name}([{one}], [{other}])"),
    "assertDictEqual": "{self}.{name}({{1: {one}}}, {{1: {other}}})",
    "assertTupleEqual": "{self}.{name}(({one},), ({other},))",
    "assertSetEqual": "{self}.{name}({{{one}}}, {{{other}}})",
    "assertMultiLineEqual": "{self}.{name}('a', 'b')",
    "assertNotEqual": "{self}.{name}({one}, {one})",
    "assertTrue": "{self}.{name}(False)",
    "assertFalse": "{self}.{name}(True)",
    "assertIs": "{self}.{name}({one}, {other})",
    "assertIsNot": "{self}.{name}({one}, {one})",
    "assertIsNone": "{self}.{name}({one})",
    "assertIsNotNone": "{self}.{name}(None)",
    "assertIn": "{self}.{name}({one}, [{other}])",
    "assertNotIn": "{self}.{name}({one}, [{one}])",
    "assertIsInstance": "{self}.{name}({one}, int)",
    "assertAlmostEqual": "{self}.{name}(1, 2)",
    "assertGreater": "{self}.{name}(1, 2)",
    "assertLess": "{self}.{name}(2, 1)",
    "assertRaises": "{self}.{name}(KeyError, len, '')",
}


def sabotage(
    source: bytes,
    lines: Collection[int] | None,
    matchers: Collection[str] = (),
    new: Novelty | None = None,
) -> bytes | None:
    """Make the tests that start on these lines fail (None: every `test*` function); None if there are none.

    A line is the first of the function's code: that of its first decorator, if it has any. `matchers` are files
    of tests that say themselves what equals what; `new` tells which classes of the change decide that anew.
    """
    try:
        module = parse(source)
        return _sabotage(module, source, lines, tuple(sorted(matchers)), new or Novelty())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _sabotage(
    module: ast.Module,
    source: bytes,
    lines: Collection[int] | None,
    matchers: tuple[str, ...],
    new: Novelty,
) -> bytes | None:
    names = _Names()
    defined = {node.name for node in ast.walk(module) if isinstance(node, ast.FunctionDef)}
    saboteur = _Saboteur(lines, names, defined)
    saboteur.visit(module)
    if not saboteur.hits:
        return None
    place = 0
    while place < len(module.body) and _comes_first(module.body[place]):
        place += 1
    module.body[place:place] = parse(prelude(names, matchers, b"ANY" in source, new)).body
    return ast.unparse(ast.fix_missing_locations(module)).encode("utf-8", "surrogatepass")


def _comes_first(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.ImportFrom):
        return statement.module == "__future__"
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


class _Names:
    """Names that differ each time, so that tested code cannot look for them."""

    def __init__(self) -> None:
        stem = f"_{secrets.choice('abcdefghkmnpqrstuvwxyz')}{secrets.token_hex(6)}"
        self.stranger, self.held, self.values, self.copies, self.check, self.plain = (
            f"{stem}_{n}" for n in "abcdef"
        )


def first_line(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Give the line that the function's code object names as its first."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


class _Saboteur(ast.NodeTransformer):
    def __init__(self, lines: Collection[int] | None, names: _Names, defined: Collection[str]) -> None:
        self._lines = lines
        self._defined = defined
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
        used = self._helpers(node)
        body = [statement for old in node.body for statement in spy.statements(old)]
        ending = parse(f"if not {self._names.held}:\n    raise AssertionError('{secrets.token_hex(8)}')").body
        node.body = [
            *parse(f"{self._names.held} = []").body,
            ast.Try(body=body, handlers=[], orelse=[], finalbody=[*used, *ending]),
        ]
        return node

    def _helpers(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
        """Call each assertion that the test uses so that it must fail; one that does not gives itself away."""
        if not node.args.args:
            return []
        own, held = node.args.args[0].arg, self._names.held
        calls: list[str] = []
        for one in ast.walk(node):
            match one:
                case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner == own:
                    if name in _MUST_FAIL and name not in self._defined:
                        calls.append(
                            _MUST_FAIL[name].format(
                                self=own, name=name, one=self._names.stranger, other=self._names.check
                            )
                        )
        text = "".join(
            f"try:\n    {call}\nexcept Exception:\n    pass\nelse:\n    {held}.append(1)\n"
            for call in dict.fromkeys(calls)
        )
        return parse(text).body


class _Spy(ast.NodeTransformer):
    """Lets each comparison be repeated: with an object that nothing can equal, and with plain copies."""

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
            case ast.BoolOp(op=ast.And(), values=parts):
                each = [ast.Assert(test=part, msg=node.msg) for part in parts]
                return [statement for one in each for statement in self.statements(one)]
            case ast.Compare(left=left, ops=ops, comparators=rest):
                if any(isinstance(op, ast.Is | ast.IsNot) for op in ops):
                    return node
                first = self._take([left, *rest])
                node.test.left, *node.test.comparators = self._elements(self._names.values, len(ops) + 1)
                copied, *others = self._elements(self._names.copies, len(ops) + 1)
                again = ast.Compare(left=copied, ops=ops, comparators=others)
                equality = len(ops) == 1 and isinstance(ops[0], ast.Eq)
                return [*first, node, *self._ask(ast.unparse(again), "not", equality)]
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.stmt]:
        match node.value:
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name), args=[_, *_] as args) if (
                name.startswith("assert") and not any(isinstance(one, ast.Starred) for one in args)
            ):
                first = self._take(args)
                again = ast.Call(
                    func=node.value.func,
                    args=self._elements(self._names.copies, len(args)),
                    keywords=node.value.keywords,
                )
                node.value.args = self._elements(self._names.values, len(args))
                equality = name in _EQUALITIES and len(args) > 1
                return [*first, node, *self._ask(ast.unparse(again), "", equality)]
        return node

    def _elements(self, name: str, count: int) -> list[ast.expr]:
        return [
            ast.Subscript(
                value=ast.Name(id=name, ctx=ast.Load()), slice=ast.Constant(value=number), ctx=ast.Load()
            )
            for number in range(count)
        ]

    def _take(self, operands: list[ast.expr]) -> list[ast.stmt]:
        """Evaluate the operands once, and copy them before anybody compares them."""
        names = self._names
        taken = ast.Assign(
            targets=[ast.Name(id=names.values, ctx=ast.Store())],
            value=ast.List(elts=operands, ctx=ast.Load()),
        )
        return [taken, *parse(f"{names.copies} = {names.plain}({names.values})").body]

    def _ask(self, again: str, negation: str, equality: bool) -> list[ast.stmt]:
        """Repeat an assertion that held with plain copies; where it does not hold for them, a value lies."""
        names = self._names
        lines = [f"if {names.copies} is not None:", "    try:"]
        if negation:
            lines += [f"        if not ({again}):", f"            {names.held}.append(1)"]
        else:
            lines += [f"        {again}"]
        lines += ["    except AssertionError:", f"        {names.held}.append(1)"]
        lines += ["    except Exception:", "        pass"]
        if equality:
            pair = f"{names.values}[0], {names.values}[1]"
            lines += [f"if {names.check}({pair}):", f"    {names.held}.append(1)"]
        return parse("\n".join(lines)).body
