"""Says which texts may name a branch, a revision or a commit."""

from __future__ import annotations

import re

from libs.git.error import UnknownRevisionError

_OBJECT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_ABBREVIATION = re.compile(r"[0-9a-f]{7,64}")
#: Git's own rules (`git check-ref-format`) for what a ref name may not hold.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)")


def is_object_id(text: str) -> bool:
    """Tells whether the text is a full object id."""
    return _OBJECT.fullmatch(text) is not None


def is_abbreviation(text: str) -> bool:
    """Tells whether the text could be an object id, whole or shortened to at least seven digits."""
    return _ABBREVIATION.fullmatch(text) is not None


def is_branch_name(text: str) -> bool:
    """Tells whether git would take the text as the name of a branch or tag."""
    return not (
        not text
        or text in ("@", "HEAD")
        or text.startswith(("-", "/", "."))
        or text.endswith(("/", "."))
        or _FORBIDDEN.search(text)
    )


def check_object_id(text: str, where: str) -> str:
    """Returns the full object id unchanged; raises UnknownRevisionError for anything else."""
    if not is_object_id(text):
        raise UnknownRevisionError(text, where, "a full commit id is needed here")
    return text
