"""Makes texts fit GitHub, and makes texts of GitHub fit to be read by programs."""

from __future__ import annotations

import re
import unicodedata

#: Characters that GitHub takes in a title and in a body; a longer body is refused by it, not cut.
MAX_TITLE, MAX_BODY = 256, 65_536
_CUT = "\n\n*Cut here: this text was too long for GitHub. The evidence store has all of it.*\n\n"
_EVIDENCE = "\n<details><summary>Evidence</summary>\n\n"
_END = "\n</details>\n"
#: The last paragraphs that are kept of a text that is cut: they say who made the pull request.
_TAIL = 1_000
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_HIDDEN_LINK = re.compile(r"^ {0,3}\[[^\]\n]*\]:.*$", re.MULTILINE)
#: Letters by class, and blank all the same.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")


def utf8(text: str) -> str:
    """Returns the text without what JSON or GitHub cannot hold."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", "")


def title_of(text: str) -> str:
    """Returns one line that GitHub takes for a title."""
    line = " ".join(utf8(text).split()) or "untitled"
    return line if len(line) <= MAX_TITLE else line[: MAX_TITLE - 1] + "…"


def compose(body: str, evidence: tuple[str, ...]) -> str:
    """Returns what is published: the body, then the list of evidence; cut to what GitHub takes.

    The end of the body stays: it says who made it.
    """
    body = utf8(body)
    listed = "".join(f"- {' '.join(utf8(link).split())}\n" for link in evidence)
    tail = f"{_EVIDENCE}{listed}{_END}" if listed else ""
    if len(tail) > MAX_BODY // 2:
        tail = tail[: MAX_BODY // 2 - len(_END)].rpartition("\n")[0] + "\n" + _END
    room = MAX_BODY - len(tail)
    if len(body) > room:
        end = body[-_TAIL:]
        end = end[end.find("\n\n") + 2 :] if "\n\n" in end else end
        body = body[: room - len(end) - len(_CUT)] + _CUT + end
    return body + tail


def split(published: str) -> tuple[str, tuple[str, ...]]:
    """Returns body and evidence of what was published."""
    text = published.replace("\r\n", "\n")
    body, found, rest = text.rpartition(_EVIDENCE)
    if not found or not rest.endswith(_END):
        return text, ()
    lines = rest.removesuffix(_END).split("\n")
    return body, tuple(line[2:] for line in lines if line.startswith("- "))


def clean(text: str, limit: int) -> str:
    """Returns an outsider's text as a person sees it: without comments and invisible characters, cut to a limit.

    What is left is still an outsider's text: it may ask for anything.
    """
    text = text[: 4 * limit].replace("\r\n", "\n")
    visible = "".join(
        character
        for character in text
        if character in "\n\t"
        or (
            unicodedata.category(character) not in ("Cf", "Cc", "Cs", "Co", "Cn")
            and character not in _BLANK
            and not 0xFE00 <= ord(character) <= 0xFE0F
            and not 0xE0100 <= ord(character) <= 0xE01EF
        )
    )
    before = None
    while before != visible:
        # One comment inside another leaves a third behind when it goes.
        before, visible = visible, _COMMENT.sub("", visible)
    visible = _HIDDEN_LINK.sub("", visible).strip()
    return visible if len(visible) <= limit else visible[: limit - 1] + "…"
