"""Regular expressions, and the formats of strings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from libs.repair.edits.module import called
from libs.repair.edits.site import Edit, Site
from libs.repair.edits.source import Change

_FUNCTIONS = frozenset(
    ("compile", "match", "search", "fullmatch", "sub", "subn", "split", "findall", "finditer")
)
_LITERAL = re.compile(r"([rRbBuU]*)('''|\"\"\"|'|\")(.*)\2", re.DOTALL)
_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?[:=!]|\(\?<[=!]|\(\?P<\w+>|\{\d*,?\d*\}|.", re.DOTALL
)
#: Longer texts are prose, or too large to be compiled once for each variant.
_LONG = 400
_QUANTIFIERS = ("*", "+", "?")
_CLASSES = {
    "\\d": ("\\w", "[\\d.]"),
    "\\w": ("[\\w-]", "\\S", "[\\w.]", "."),
    "\\s": ("[ \\t]", " ", "\\S"),
    "\\S": ("\\w", "."),
    "\\b": ("", "\\B"),
}


def pattern(site: Site) -> Iterator[Edit]:
    """One element of a regular expression changed: quantifier, anchor, escape, class, group."""
    for node, parent, _ in site.places:
        if (
            not isinstance(node, ast.Constant)
            or not isinstance(node.value, (str, bytes))
            or not site.is_value(node)
        ):
            continue
        written = _LITERAL.fullmatch(site.text(node))
        if written is None or not (body := written[3]):
            continue  # several literals side by side are left alone
        likely = isinstance(parent, ast.Call) and called(parent) in _FUNCTIONS
        if len(body) > _LONG or (not likely and not _looks_like(body)):
            continue
        prefix, quotes = written[1], written[2]
        raw = "r" in prefix.lower()
        if not raw:
            if not isinstance(node.value, str):
                continue
            body = node.value
        old_valid = _valid(body)
        for new, what, surprise in _variants(body):
            if not old_valid or _valid(new):
                text = f"{prefix}{quotes}{new}{quotes}" if raw else _literal(new)
                yield Edit(
                    (Change(*site.source.span(node), text),),
                    f"in the pattern {what}",
                    surprise + (0.0 if likely else 1.0),
                )


def _literal(value: str) -> str:
    """A pattern as one would write it."""
    if "\\" in value and value.isprintable() and '"' not in value and not value.endswith("\\"):
        return f'r"{value}"'
    return repr(value)


def _looks_like(body: str) -> bool:
    return (
        body.count(" ") < 3
        and "\n" not in body
        and sum(mark in body for mark in ("\\", "(?", "[", "]+", ".*", "^", "$", ")?", "|", "+", "*")) >= 2
    )


def _valid(body: str) -> bool:
    try:
        re.compile(body)
    except (re.error, OverflowError, RecursionError, Warning):
        return False
    return True


def _variants(body: str) -> Iterator[tuple[str, str, float]]:
    tokens = [(each.start(), each[0]) for each in _TOKEN.finditer(body)]
    crowd = 0.02 * len(tokens)
    for index, (at, piece) in enumerate(tokens):
        end = at + len(piece)
        following = tokens[index + 1][1] if index + 1 < len(tokens) else ""

        def put(text: str, start: int = at, stop: int = end) -> str:
            return body[:start] + text + body[stop:]

        if piece in _QUANTIFIERS and index:
            lazy = tokens[index - 1][1] in ("*", "+", "?", "}")
            for rank, other in enumerate(each for each in _QUANTIFIERS if each != piece):
                if not lazy:
                    yield put(other), f"`{piece}` becomes `{other}`", crowd + 0.2 + 0.5 * rank
            yield put(""), f"`{piece}` goes", crowd + 0.5
            if not lazy and following != "?":
                yield put(piece + "?"), f"`{piece}` becomes `{piece}?`", crowd + 0.7
        elif piece.startswith("{"):
            for text in ("*", "+", ""):
                yield put(text), f"`{piece}` becomes `{text}`", crowd + 0.7
            numbers = piece.strip("{}").split(",")
            for text in _counts(numbers):
                yield put(text), f"`{piece}` becomes `{text}`", crowd + 0.5
        elif piece == ".":
            yield put("\\."), "`.` becomes `\\.`", crowd + 0.5
            yield put("[^\\n]"), "`.` becomes `[^\\n]`", crowd + 2.0
        elif piece == "\\.":
            yield put("."), "`\\.` becomes `.`", crowd + 0.5
        elif piece in ("^", "$", "\\Z", "\\A"):
            yield put(""), f"`{piece}` goes", crowd + 0.3
            if piece == "$":
                yield put("\\Z"), "`$` becomes `\\Z`", crowd + 0.7
            if piece == "^":
                yield put("^\\s*"), "`^` becomes `^\\s*`", crowd + 1.0
        elif piece.startswith("["):
            yield from (
                (put(text), f"`{piece}` becomes `{text}`", crowd + surprise)
                for text, surprise in _classes(piece)
            )
        elif piece in _CLASSES:
            for rank, text in enumerate(_CLASSES[piece]):
                yield put(text), f"`{piece}` becomes `{text}`", crowd + 0.6 + 0.2 * rank
        elif piece == "|":
            yield put(""), "`|` goes", crowd + 2.0
        elif piece == "(" and following != "?":
            yield put("(?:"), "`(` becomes `(?:`", crowd + 1.0
        elif piece == "(?:":
            yield put("("), "`(?:` becomes `(`", crowd + 1.0
        elif piece in ("(?=", "(?!", "(?<=", "(?<!"):
            other = piece[:-1] + ("!" if piece.endswith("=") else "=")
            yield put(other), f"`{piece}` becomes `{other}`", crowd + 0.8
        if (piece in (")", ".") or piece.startswith(("[", "\\")) or piece.isalnum()) and following[
            :1
        ] not in ("*", "+", "?", "{"):
            for rank, quantifier in enumerate(("?", "*", "+")):
                surprise = (
                    0.6
                    if piece == ")" or piece.startswith("[") or piece in ("\\s", "\\d", "\\w", ".")
                    else 1.2
                )
                yield (
                    put(piece + quantifier),
                    f"`{piece}` becomes `{piece}{quantifier}`",
                    crowd + surprise + 0.3 * rank,
                )
    for text, what in (
        (f"^{body}", "`^` is put first"),
        (f"{body}$", "`$` is put last"),
        (f"{body}\\Z", "`\\Z` is put last"),
        (f"\\b{body}", "`\\b` is put first"),
        (f"{body}\\b", "`\\b` is put last"),
        (f"\\s*{body}", "`\\s*` is put first"),
        (f"{body}\\s*", "`\\s*` is put last"),
        (f"(?i){body}", "case is ignored"),
    ):
        yield text, what, 0.9


def _counts(numbers: list[str]) -> Iterator[str]:
    for index, number in enumerate(numbers):
        if number.isdigit():
            for value in (int(number) + 1, int(number) - 1):
                if value >= 0:
                    yield "{" + ",".join([*numbers[:index], str(value), *numbers[index + 1 :]]) + "}"
        else:
            yield "{" + ",".join([*numbers[:index], "0" if index == 0 else "", *numbers[index + 1 :]]) + "}"
    if len(numbers) == 1:
        yield "{" + numbers[0] + ",}"
        yield "{0," + numbers[0] + "}"
        yield "{1," + numbers[0] + "}"


def _classes(token: str) -> Iterator[tuple[str, float]]:
    """A character class made wider, narrower or its opposite."""
    negated = token.startswith("[^")
    inside = token[2 if negated else 1 : -1]
    start = "[^" if negated else "["
    yield (f"[{inside}]" if negated else f"[^{inside}]"), 1.0
    extras = ["_", ".", "\\-", "\\s", "\\n", " ", "\\w", "0-9", "+", "/", "'", '\\"', ":", ",", "A-Z", "a-z"]
    for rank, extra in enumerate(each for each in extras if each not in inside):
        yield f"{start}{inside}{extra}]", 0.8 + 0.1 * rank
    parts = [each[0] for each in re.finditer(r"\\.-\\.|\\.|.-[^\]]|.", inside, re.DOTALL)]
    if len(parts) > 1:
        for index in range(len(parts)):
            yield f"{start}{''.join(parts[:index] + parts[index + 1 :])}]", 0.8 + 0.05 * index


def format_of(site: Site) -> Iterator[Edit]:
    """The conversion of `%` and `format`, its width, precision or flag."""
    for node, parent, field in site.places:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and site.is_value(node):
            written = _LITERAL.fullmatch(site.text(node))
            if written is None:
                continue
            percent = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Mod) and field == "left"
            braces = (isinstance(parent, ast.Attribute) and parent.attr == "format") or (
                isinstance(parent, ast.Call) and called(parent) == "format"
            )
            if percent or braces:
                body = written[3]
                for start, end, text in _conversions(body, percent=percent):
                    new = f"{written[1]}{written[2]}{body[:start]}{text}{body[end:]}{written[2]}"
                    yield Edit(
                        (Change(*site.source.span(node), new),),
                        f"in the format `{body[start:end]}` becomes `{text}`",
                    )
        elif isinstance(node, ast.JoinedStr):
            yield from _interpolated(site, node)


def _interpolated(site: Site, node: ast.JoinedStr) -> Iterator[Edit]:
    text = site.text(node)
    for match in re.finditer(r"(?<!\{)\{([^{}:!]+)(![rsa])?(:[^{}]*)?\}(?!\})", text):
        for new in _specs(match[2] or "", match[3] or ""):
            changed = f"{{{match[1]}{new}}}"
            start = site.source.span(node)[0]
            yield Edit(
                (Change(start + match.start(), start + match.end(), changed),),
                f"in the format `{match[0]}` becomes `{changed}`",
            )


def _specs(conversion: str, spec: str) -> Iterator[str]:
    if not conversion:
        yield f"!r{spec}"
    else:
        yield spec
    number = re.search(r"\d+", spec)
    if number:
        for value in (int(number[0]) + 1, int(number[0]) - 1):
            if value >= 0:
                yield conversion + spec[: number.start()] + str(value) + spec[number.end() :]
    for old, new in (
        ("<", ">"),
        (">", "<"),
        ("^", "<"),
        ("f", "g"),
        ("g", "f"),
        ("d", ","),
        ("x", "X"),
        ("f", "d"),
    ):
        if old in spec:
            yield conversion + spec.replace(old, new, 1)
    if spec:
        yield conversion
    elif not conversion:
        yield from (":,", ":g", ":.1f", ":.2f", ":d")


def _conversions(body: str, *, percent: bool) -> Iterator[tuple[int, int, str]]:
    if percent:
        for match in re.finditer(r"%(\(\w+\))?([-+ #0]*)(\d*)(\.\d+)?([sdrfgeixX])", body):
            name, flags, width, precision, kind = (each or "" for each in match.groups())
            for other in "srdfgx":
                if other != kind:
                    yield match.start(), match.end(), f"%{name}{flags}{width}{precision}{other}"
            if precision:
                for value in (int(precision[1:]) + 1, int(precision[1:]) - 1):
                    if value >= 0:
                        yield match.start(), match.end(), f"%{name}{flags}{width}.{value}{kind}"
                yield match.start(), match.end(), f"%{name}{flags}{width}{kind}"
            elif kind in "fge":
                yield from (
                    (match.start(), match.end(), f"%{name}{flags}{width}.{value}{kind}")
                    for value in (0, 1, 2)
                )
            if width:
                yield from (
                    (match.start(), match.end(), f"%{name}{flags}{int(width) + step}{precision}{kind}")
                    for step in (1, -1)
                )
        return
    for match in re.finditer(r"(?<!\{)\{(\w*)(![rsa])?(:[^{}]*)?\}(?!\})", body):
        for new in _specs(match[2] or "", match[3] or ""):
            yield match.start(), match.end(), f"{{{match[1]}{new}}}"
        if match[1].isdigit():
            yield match.start(), match.end(), f"{{{int(match[1]) + 1}{match[2] or ''}{match[3] or ''}}}"
