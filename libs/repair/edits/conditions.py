"""Conditions: widened, narrowed, replaced; of branches, loops and filters."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from libs.repair.edits import source as tight
from libs.repair.edits.module import size
from libs.repair.edits.site import Edit, Site
from libs.repair.edits.source import Piece

#: Conditions from further away than the function that are tried at most.
_FAR = 12
#: And how many nodes they may have.
_FAR_SIZE = 8


def atoms(site: Site, near: ast.AST, about: ast.AST | None = None) -> list[tuple[Piece, float]]:
    """Conditions that may be asked at a node, likeliest first, each with its surprise.

    Those that the function asks, those that the file asks of names known here, and simple questions about names in
    scope: true, empty, None, zero, one. `about`: names of this expression are the likelier subjects.
    """
    found: dict[str, tuple[Piece, float]] = {}

    def add(piece: Piece, surprise: float) -> None:
        if piece.text not in found or found[piece.text][1] > surprise:
            found[piece.text] = (piece, surprise)

    for rank, condition in enumerate(_asked(site, near)):
        add(site.source.piece(condition), 0.6 + 0.15 * rank)
    subjects = (
        {each.id for each in ast.walk(about) if isinstance(each, ast.Name)} if about is not None else set()
    )
    for name, unlikely in site.names(near, frozenset(), without=frozenset(("cls", "self")))[:12]:
        binding = site.scope.visible()[name]
        if binding.origin in ("function", "class", "import", "constant"):
            continue
        base = unlikely + (0.0 if name in subjects else 0.7)
        number, sized = "number" in binding.sorts, "collection" in binding.sorts or "text" in binding.sorts
        add(Piece(name), base + (1.0 if number else 0.3))
        add(Piece(f"not {name}", tight.NOT), base + (1.0 if number else 0.3))
        add(Piece(f"{name} is None", tight.COMPARE), base + 0.6)
        add(Piece(f"{name} is not None", tight.COMPARE), base + 0.5)
        if number or not binding.sorts:
            for text, extra in (
                (f"{name} == 0", 0.6),
                (f"{name} > 0", 0.8),
                (f"{name} < 0", 0.9),
                (f"{name} == 1", 1.2),
            ):
                add(Piece(text, tight.COMPARE), base + extra + (0.0 if number else 0.8))
        if sized:
            for text, extra in (
                (f"len({name}) == 0", 1.5),
                (f"len({name}) == 1", 0.9),
                (f"len({name}) > 1", 1.2),
            ):
                add(Piece(text, tight.COMPARE), base + extra)
    for text, surprise in _relations(site, near, subjects):
        add(Piece(text, tight.COMPARE), surprise)
    return sorted(found.values(), key=lambda pair: (pair[1], pair[0].text))


def _asked(site: Site, near: ast.AST) -> list[ast.expr]:
    """Conditions of the function, then of the file, whose names mean something here; each once."""
    near_by = site.module.conditions(site.function)
    found = {text: each for text, each in reversed(near_by.items()) if site.usable(each, near)}
    limit = len(found) + _FAR
    for text, each in reversed(site.module.conditions(site.module.tree).items()):
        if len(found) >= limit:
            break
        if text not in found and size(each) <= _FAR_SIZE and site.usable(each, near):
            found[text] = each
    return [*found.values()]


def _relations(site: Site, near: ast.AST, subjects: set[str]) -> Iterator[tuple[str, float]]:
    """Questions about two names: one in the other, an index within a length, two numbers compared."""
    names = [
        (name, unlikely, site.scope.visible()[name])
        for name, unlikely in site.names(near, frozenset(), without=frozenset(("cls", "self")))[:8]
    ]
    names = [each for each in names if each[2].origin in ("parameter", "local", "comprehension")]
    for one, first, binding in names:
        for other, second, container in names:
            if one == other:
                continue
            base = 0.7 * (first + second) + (0.0 if one in subjects or other in subjects else 0.7)
            if "collection" in container.sorts or "text" in container.sorts:
                if "collection" not in binding.sorts:
                    yield f"{one} not in {other}", base + 0.6
                    yield f"{one} in {other}", base + 0.8
                if "number" in binding.sorts:
                    yield f"{one} < len({other})", base + 0.6
            if "number" in binding.sorts and "number" in container.sorts:
                yield f"{one} < {other}", base + 1.2
                yield f"{one} <= {other}", base + 1.4
            if not (binding.sorts ^ container.sorts):
                yield f"{one} == {other}", base + 1.4
                yield f"{one} != {other}", base + 1.4


def _tested(site: Site) -> Iterator[ast.expr]:
    """Whole conditions of the statement."""
    for node, parent, field in site.places:
        if isinstance(node, ast.expr) and (
            field in ("test", "ifs")
            or (isinstance(parent, ast.Return) and isinstance(node, (ast.Compare, ast.BoolOp)))
        ):
            yield node


def widen(site: Site) -> Iterator[Edit]:
    yield from _joined(site, "or", tight.OR)


def narrow(site: Site) -> Iterator[Edit]:
    yield from _joined(site, "and", tight.AND)


def _joined(site: Site, word: str, binds: int) -> Iterator[Edit]:
    for node in _tested(site):
        old = site.source.piece(node)
        if isinstance(node, ast.Constant):
            continue
        for atom, surprise in atoms(site, node, node)[:60]:
            if atom.text == old.text:
                continue
            new = Piece(f"{old.within(binds)} {word} {atom.within(binds + 1)}", binds)
            yield Edit((site.replaced(node, new),), f"`{old.text}` becomes `{new.text}`", surprise)
            if atom.text not in ("True", "False") and surprise < 2.0:
                # What protects the rest has to come first.
                first = Piece(f"{atom.within(binds)} {word} {old.within(binds + 1)}", binds)
                yield Edit(
                    (site.replaced(node, first),), f"`{old.text}` becomes `{first.text}`", surprise + 0.8
                )


def condition(site: Site) -> Iterator[Edit]:
    """A condition replaced as a whole."""
    for node in _tested(site):
        old = site.source.piece(node)
        if isinstance(site.statement, ast.While) and isinstance(node, ast.Constant):
            continue
        for text, surprise in (("True", 1.0), ("False", 1.0)):
            if site.parent(node)[1] != "ifs":
                yield Edit((site.replaced(node, text),), f"`{old.text}` becomes `{text}`", surprise)
        for atom, surprise in atoms(site, node, node)[:40]:
            yield Edit((site.replaced(node, atom),), f"`{old.text}` becomes `{atom.text}`", surprise)
    for node in site.nodes(ast.BoolOp):
        for value in node.values:
            if size(value) > 1:
                for atom, surprise in atoms(site, value, value)[:15]:
                    yield Edit(
                        (site.replaced(value, atom),),
                        f"`{site.text(value)}` becomes `{atom.text}`",
                        0.5 + surprise,
                    )


def loop_condition(site: Site) -> Iterator[Edit]:
    """A loop for ever gets a condition: the names that it works on, or what is asked nearby."""
    statement = site.statement
    if not isinstance(statement, ast.While):
        return
    endless = isinstance(statement.test, ast.Constant)
    inside = {each.id for part in statement.body for each in ast.walk(part) if isinstance(each, ast.Name)}
    inside |= {each.id for each in ast.walk(statement.test) if isinstance(each, ast.Name)}
    for atom, surprise in atoms(site, statement.test, ast.Module(statement.body, []))[:30]:
        asks = {each for each in atom.text.replace("(", " ").replace(")", " ").split() if each in inside}
        if asks and (endless or surprise < 1.5):
            extra = 0.0 if endless else 2.0
            yield Edit(
                (site.replaced(statement.test, atom),),
                f"`while {site.text(statement.test)}` becomes `while {atom.text}`",
                0.6 * surprise + extra,
            )
    if not endless:
        yield Edit(
            (site.replaced(statement.test, "True"),),
            f"`while {site.text(statement.test)}` becomes `while True`",
            2.5,
        )


def filters(site: Site) -> Iterator[Edit]:
    """The filter of a comprehension taken off or added."""
    for node in site.nodes(ast.comprehension):
        end = site.source.span(node.iter)[1]
        if node.ifs:
            last = site.source.span(node.ifs[-1])[1]
            text = site.source.text[end:last]
            if text.count("(") == text.count(")"):
                yield Edit((tight.Change(end, last, ""),), f"the filter `{text.strip()}` is taken off", 0.0)
            continue
        own = {each.id for each in ast.walk(node.target) if isinstance(each, ast.Name)}
        for atom, surprise in atoms(site, node.target, node.target)[:30]:
            words = set(atom.text.replace("(", " ").replace(")", " ").split())
            if words & own:
                yield Edit(
                    (tight.Change(end, end, f" if {atom.within(tight.OR)}"),),
                    f"the filter `if {atom.text}` is added",
                    surprise,
                )
