"""Edits that answer to the tested inputs alone: a condition for one value that the file knows nothing of."""

from __future__ import annotations

import ast

from libs.repair.edits.site import Edit, Site


def special_case(site: Site, edit: Edit) -> str:
    """Why an edit looks made for the tested inputs; empty if it does not.

    Judged by what the new text brings in: a comparison by `==`, `!=` or `in` with a constant that occurs nowhere else
    in the file.
    """
    for change in edit.changes:
        if not any(sign in change.text for sign in ("==", "!=", " in ")):
            continue
        for node in ast.walk(_parsed(change.text)):
            if isinstance(node, ast.Compare) and isinstance(
                node.ops[0], (ast.Eq, ast.NotEq, ast.In, ast.NotIn)
            ):
                for side in (node.left, *node.comparators):
                    for value in _literals(side):
                        if (type(value), value) not in site.module.literals:
                            return f"compares with {value!r}, which occurs nowhere else in the file"
    return ""


def _literals(node: ast.expr) -> list[object]:
    match node:
        case ast.Constant(value=value):
            return [value]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value)):
            return [value]
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            return [value for part in parts for value in _literals(part)]
    return []


def _parsed(text: str) -> ast.AST:
    from libs.verification import syntax

    lines = text.strip()
    for attempt in (lines, f"{lines}\n    pass", f"({lines})", f"x {lines}"):
        try:
            return syntax.parse(attempt)
        except (SyntaxError, ValueError):
            continue
    return ast.Module([], [])
