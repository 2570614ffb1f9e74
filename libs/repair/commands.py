"""Tells from its text whether a test command may be held: whether it starts pytest once, and no more than that. Pure."""

from __future__ import annotations

import re
import shlex

_ASSIGNMENT = re.compile(r"^[A-Za-z_]\w*=")
#: What may stand between programs without one's end deciding about another's.
_SEPARATORS = frozenset(("&&", ";"))
_BESIDE = frozenset(("cd", "export", "set", "true", ":"))


def is_single_pytest(command: str) -> bool:
    """Tell whether a command's verdict is that of the one pytest that it starts last.

    What stands before it may only set variables and change the folder. Anything else (a pipe, two sessions, another
    runner, a script) is run as it is written.
    """
    try:
        lexer = shlex.shlex(command.replace("\n", " ; "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:
        return False
    parts: list[list[str]] = [[]]
    for word in words:
        if word in _SEPARATORS:
            parts.append([])
        elif set(word) <= set("();<>|&"):
            return False
        else:
            parts[-1].append(word)
    parts = [stripped for part in parts if (stripped := _without_variables(part))]
    if not parts or any(part[0] not in _BESIDE for part in parts[:-1]):
        return False
    return _is_pytest(parts[-1])


def _without_variables(words: list[str]) -> list[str]:
    words = words[1:] if words[:1] in (["env"], ["exec"]) else words
    while words and _ASSIGNMENT.match(words[0]):
        words = words[1:]
    return words


def _is_pytest(words: list[str]) -> bool:
    program = words[0].rpartition("/")[2]
    if program in ("pytest", "py.test"):
        return True
    if not re.fullmatch(r"(?:python|pypy)[\d.]*", program):
        return False
    for place, word in enumerate(words[1:], start=1):
        if word == "-m":
            return words[place + 1 : place + 2] in (["pytest"], ["py.test"])
        # -X and -W take a word of their own.
        if not word.startswith("-") and words[place - 1] not in ("-X", "-W"):
            return False
    return False
