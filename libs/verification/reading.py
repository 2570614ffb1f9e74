"""Walks through one file's syntax tree and counts every reach that it finds."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Collection, Iterator

import msgspec

from libs.verification.folding import fold
from libs.verification.syntax import parse
from libs.verification.vocabulary import (
    ALWAYS,
    ASSERTING,
    ATTRIBUTES,
    CALLED,
    DANGEROUS,
    FRAMEWORKS,
    MODULES,
    NAMES,
    PATH_CALLS,
    PREFIXES,
    RUNNERS,
    WORDS,
)

_STANDARD = frozenset(sys.stdlib_module_names)
_REPLACES = "replaces a part of another module"


class Surrounding(msgspec.Struct, frozen=True, kw_only=True):
    """What a file's reader must know of the tree around it."""

    #: Names of test files and test functions.
    tests: frozenset[str] = frozenset()
    #: Modules that lie in folders of tests, dotted from the root or a source folder.
    test_modules: frozenset[str] = frozenset()
    #: Names of folders that hold tests or their data.
    test_folders: frozenset[str] = frozenset()
    #: Whether the file is a test itself: it may use the frameworks and speak of them.
    is_test: bool = False


class Reader(ast.NodeVisitor):
    """Counts the reaches of one file."""

    def __init__(self, around: Surrounding) -> None:
        self._around = around
        self._imported: dict[str, str] = {}
        self._depth = 0
        self.found: Counter[str] = Counter()

    def _add(self, text: str) -> None:
        self.found[text] += 1

    def visit_Import(self, node: ast.Import) -> None:
        for name in node.names:
            local = name.asname or name.name.partition(".")[0]
            self._imported[local] = name.name if name.asname else local
            self._module(name.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level:
            return
        module = node.module or ""
        self._module(module)
        for name in node.names:
            self._imported[name.asname or name.name] = f"{module}.{name.name}"
            self._dotted(f"{module}.{name.name}")
            self._module(f"{module}.{name.name}", of_tests_only=True)
            if module == "builtins" and name.name in RUNNERS and name.asname:
                self._add(f"hands on {name.name}")

    def _module(self, name: str, *, of_tests_only: bool = False) -> None:
        root = name.partition(".")[0]
        if not self._around.is_test and name in self._around.test_modules:
            self._add(f"imports {name}, which belongs to the tests")
        if root in MODULES and not of_tests_only and not (self._around.is_test and root in FRAMEWORKS):
            self._add(f"imports {root}")

    def _dotted(self, name: str) -> None:
        if name in NAMES:
            self._add(f"uses {name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        dotted = self._name_of(node)
        if dotted:
            self._dotted(dotted)
        if node.attr in ATTRIBUTES and dotted not in NAMES:
            self._add(f"uses .{node.attr}")
        if dotted == "sys.modules":
            self._add("walks through sys.modules")
        self.generic_visit(node)

    def _name_of(self, node: ast.expr) -> str:
        """Give the dotted name of what an expression stands for, through aliases, or an empty text."""
        match node:
            case ast.Attribute(value=value, attr=attr):
                below = self._name_of(value)
                return f"{below}.{attr}".removeprefix("builtins.") if below else ""
            case ast.Name(id=name):
                return self._imported.get(name, name).removeprefix("builtins.")
            case ast.Call(func=function, args=[first, *_]):
                called = self._name_of(function)
                text = fold(first)
                if called in ("importlib.import_module", "__import__") and text is not None:
                    return text
                if called == "getattr" and len(node.args) > 1 and (attr_ := fold(node.args[1])) is not None:
                    below = self._name_of(first)
                    return f"{below}.{attr_}".removeprefix("builtins.") if below else ""
            case ast.Subscript(value=value, slice=place):
                text = fold(place)
                below = self._name_of(value)
                if below == "sys.modules" and text is not None:
                    return text
        return ""

    def visit_Name(self, node: ast.Name) -> None:
        name = self._name_of(node)
        self._dotted(name)
        if name == "sys.modules":
            self._add("walks through sys.modules")
        if name in ("exec", "eval", "__import__") and isinstance(node.ctx, ast.Load):
            self._add(f"hands on {name}")
        if node.id == "__builtins__" or (node.id in ("SystemExit", "exit", "quit") and not self._depth):
            self._add(f"uses {node.id}")

    def visit_Subscript(self, node: ast.Subscript) -> None:
        # `sys.modules[__name__]` and `sys.modules["known"]` are how a module speaks of itself or of another one.
        known = fold(node.slice) is not None or (
            isinstance(node.slice, ast.Name) and node.slice.id == "__name__"
        )
        if not (known and self._name_of(node.value) == "sys.modules"):
            self.visit(node.value)
        self.visit(node.slice)

    def visit_Compare(self, node: ast.Compare) -> None:
        for part in (node.left, *node.comparators):
            if not (isinstance(node.ops[0], ast.In | ast.NotIn) and self._name_of(part) == "sys.modules"):
                self.visit(part)

    def visit_Call(self, node: ast.Call) -> None:
        name = self._name_of(node.func)
        if name == "sys.exit" and not self._depth:
            self._add("exits while it is imported")
        if name in RUNNERS:
            self._run(name, node)
        if name in CALLED:
            self._add(f"calls {name}")
        if name in ("os.write", "os.close", "os.closerange") or (name == "open" and _number(node)):
            self._add("writes to or closes a descriptor by its number")
        if name in ("setattr", "delattr") and node.args and self._is_foreign(node.args[0]):
            self._add(_REPLACES)
        if (
            isinstance(node.func, ast.Attribute)
            and node.func.attr in ("update", "setdefault", "pop")
            and (owner := self._names_of_module(node.func.value)) is not None
            and self._is_foreign(owner)
        ):
            self._add(_REPLACES)
        if name == "importlib.import_module" and node.args and (text := fold(node.args[0])):
            self._module(text)
        if name.rpartition(".")[2] in ("getattr", "setattr", "delattr", "attrgetter", "methodcaller"):
            self._look_up(name.rpartition(".")[2], node)
        if name in ("pickle.loads", "pickle.load") and node.args and _of_the_tree(node.args[0]):
            self._add(f"runs what {name} finds in a constant or a file")
        if not self._around.is_test and name.rpartition(".")[2] in PATH_CALLS:
            for one in node.args:
                self._path(one)
        known = name in RUNNERS and isinstance(node.func, ast.Name)
        for child in ast.iter_child_nodes(node):
            if not (known and child is node.func):
                self.visit(child)

    def _run(self, name: str, node: ast.Call) -> None:
        text = fold(node.args[0]) if node.args else None
        if text is None:
            self._add(f"calls {name} on something computed")
        elif name == "__import__":
            self._module(text)
        else:
            inner = Reader(self._around)
            try:
                inner.visit(parse(text.strip()))
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                self._add(f"calls {name} on what cannot be read")
            self.found += inner.found

    def _look_up(self, name: str, node: ast.Call) -> None:
        """Read a look-up by name: what the name is made of, and where it is looked for."""
        texts = node.args[1:2] if name.endswith("attr") else node.args
        for one in texts:
            text = fold(one)
            if text is None:
                first = _first_text(one)
                if first and any(first.endswith(prefix) for prefix in PREFIXES):
                    self._add(f"puts a name together that begins with {first!r}")
                if name.endswith("attr") and self._name_of(node.args[0]) in DANGEROUS:
                    self._add(f"looks for a computed name in {self._name_of(node.args[0])}")
                continue
            if not isinstance(one, ast.Constant):
                self._add(f"puts the name {text!r} together")
            if len(node.args) > 1 and name == "getattr":
                self._dotted(self._name_of(node))

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._target(target)
            name = self._name_of(node.value)
            if isinstance(target, ast.Name) and name and self._is_imported(node.value):
                # Another name for something foreign is followed; the first assignment in the file decides.
                self._imported.setdefault(target.id, name)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._target(node.target)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._target(node.target)
        self.generic_visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._target(target)
        self.generic_visit(node)

    def _target(self, target: ast.expr) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            for one in target.elts:
                self._target(one)
        elif isinstance(target, ast.Attribute) and self._is_foreign(target.value):
            self._add(_REPLACES)
        elif isinstance(target, ast.Subscript):
            owner = self._names_of_module(target.value)
            if owner is None and self._name_of(target.value) == "sys.modules":
                owner = target
            if owner is not None and self._is_foreign(owner):
                self._add(_REPLACES)

    def _names_of_module(self, node: ast.expr) -> ast.expr | None:
        """Give whose dictionary an expression is: `vars(one)` or `one.__dict__`."""
        if isinstance(node, ast.Attribute) and node.attr == "__dict__":
            return node.value
        if isinstance(node, ast.Call) and self._name_of(node.func) == "vars" and node.args:
            return node.args[0]
        return None

    def _is_foreign(self, node: ast.expr) -> bool:
        """Tell whether an expression is a module, or a class of a module, that is not the repository's own."""
        if self._around.is_test and self._depth:
            return False  # what a test replaces is compared when it has run
        name = self._name_of(node)
        root = name.partition(".")[0]
        if not name or not self._is_imported(node):
            return False
        return root in _STANDARD or root in MODULES or root in ASSERTING

    def _is_imported(self, node: ast.expr) -> bool:
        """Tell whether an expression begins with an imported name, or imports one itself."""
        while isinstance(node, ast.Attribute):
            node = node.value
        return not isinstance(node, ast.Name) or node.id in self._imported

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        body = [one for one in node.body if not _is_text(one)]
        if node.name in ALWAYS and len(body) == 1 and isinstance(body[0], ast.Return):
            value = body[0].value
            if isinstance(value, ast.Constant) and (
                value.value is True or (node.name == "__ne__" and not value.value)
            ):
                self._add(f"defines {node.name} so that it always says yes")
        for decorator in node.decorator_list:
            self.visit(decorator)
        for default in _defaults(node):
            self.visit(default)
        self._depth += 1
        for statement in node.body:
            self.visit(statement)
        self._depth -= 1

    def visit_If(self, node: ast.If) -> None:
        # What stands below `if __name__ == "__main__"` does not happen on import.
        guarded = any(isinstance(one, ast.Name) and one.id == "__name__" for one in ast.walk(node.test))
        self._depth += guarded
        self.generic_visit(node)
        self._depth -= guarded

    def visit_Expr(self, node: ast.Expr) -> None:
        if not _is_text(node):
            self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Div) and not self._around.is_test:
            self._path(node.right)
        if (text := fold(node)) is not None:
            self._text(text, put_together=True)
        else:
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str | bytes):
            self._text(node.value if isinstance(node.value, str) else node.value.decode("utf-8", "replace"))

    def _text(self, text: str, *, put_together: bool = False) -> None:
        if any(part in ATTRIBUTES for part in text.split(".")):
            self._add(f"mentions {text[:60]!r} in code")
        if put_together and (text in NAMES or text in MODULES):
            self._add(f"puts the name {text!r} together")
        if self._around.is_test:
            return
        for word in WORDS:
            if word in text.lower():
                self._add(f"mentions {word!r} in code")
        if text in self._around.tests:
            self._add(f"names the test {text!r}")
        if text == "pytest" or text == "unittest":
            self._add(f"mentions {text!r} in code")

    def _path(self, node: ast.expr) -> None:
        text = fold(node)
        for part in (text or "").replace("\\", "/").split("/"):
            if part in self._around.test_folders:
                self._add(f"goes to {part!r}, which belongs to the tests")


def _first_text(node: ast.expr) -> str:
    """Give the constant with which a text that is put together begins."""
    match node:
        case ast.BinOp(left=left, op=ast.Add()):
            return fold(left) or _first_text(left)
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
            return text
    return ""


def _of_the_tree(node: ast.expr) -> bool:
    """Tell whether what is unpickled stands in the code or beside it."""
    return any(
        (isinstance(one, ast.Constant) and isinstance(one.value, str | bytes) and len(one.value) > 20)
        or (isinstance(one, ast.Name) and one.id == "__file__")
        for one in ast.walk(node)
    )


def _defaults(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr]:
    yield from (default for default in [*node.args.defaults, *node.args.kw_defaults] if default is not None)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _number(node: ast.Call) -> bool:
    return bool(node.args) and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, int)


def surrounding(tests: Collection[str], files: Collection[str], folders: Collection[str]) -> Surrounding:
    """Describe the tests of a tree by their names, their files, and the folders they lie in."""
    modules: set[str] = set()
    for file in files:
        if file.endswith(".py"):
            parts = file.removesuffix(".py").removesuffix("/__init__").split("/")
            for start in range(2 if parts[0] in ("src", "lib") else 1):
                modules.add(".".join(parts[start:]))
                for end in range(start + 1, len(parts)):
                    if "/".join(parts[:end]) in folders:
                        modules.add(".".join(parts[start:end]))
    names = {folder.rpartition("/")[2] for folder in folders}
    return Surrounding(
        tests=frozenset(tests), test_modules=frozenset(modules - {""}), test_folders=frozenset(names)
    )
