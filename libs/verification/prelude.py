"""Holds what is written in front of sabotaged tests: how values are asked whether they lie."""

from __future__ import annotations

from typing import Protocol

from libs.verification.environment import TREE
from libs.verification.novelty import COMPARISONS, Novelty


class Names(Protocol):
    """Names that the written code uses; they differ each time."""

    stranger: str
    held: str
    check: str
    plain: str


def prelude(names: Names, matchers: tuple[str, ...], any_is_used: bool, new: Novelty) -> str:
    """Write the code that stands in front of a file of tests that must fail."""
    return _CHECK.format(n=names, tree=f"{TREE}/", matchers=matchers, any=any_is_used) + _PLAIN.format(
        n=names, tree=f"{TREE}/", methods=COMPARISONS, new=new
    )


#: Walks two values that were equal, and tells whether some part of them also equals what it must not equal.
#: Matchers that the tests define themselves may do so; values of plain types compare as Python does.
_CHECK = """
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

#: Copies values so that only Python's own types are left to compare. Where a class of the change decides anew
#: what its values equal, a copy holds what the built-in type's own methods say is there; a value of another
#: kind becomes a stand-in that equals no plain value. None where there is nothing of that sort.
_PLAIN = """
def {n.plain}(values):
    read, mro = type.__dict__['__dict__'].__get__, type.__dict__['__mro__'].__get__
    own = (object, type, int, float, complex, str, bytes, bool, list, tuple, dict, set, frozenset)
    slots = tuple(type(one) for one in (int.__eq__, str.join, len, type(None)))
    seen, kinds, budget = [], {{}}, [20000]
    class StandIn:
        __hash__ = object.__hash__
        def __eq__(self, other):
            return other is not None and not any([base in own[2:] for base in mro(type(other))])
    def is_new(klass):
        for name in {methods!r}:
            method = read(klass).get(name)
            if method is None or type(method) in slots:
                continue
            file = getattr(getattr(method, '__code__', None), 'co_filename', None)
            if file is None:
                import sys
                module = sys.modules.get(klass.__module__)
                place = getattr(module, '__file__', None) or ''
                if getattr(module, klass.__name__, None) is klass and not place.startswith({tree!r}):
                    continue
                if isinstance(method, property):
                    continue
                return True
            if file in {new.tests!r} or file == __file__ or file not in {new.files!r}:
                continue
            if file + ':' + klass.__name__ + ':' + name in {new.known!r} or klass.__name__ in {new.demanded!r}:
                continue
            return True
        return False
    def lies(kind):
        if kind not in kinds:
            kinds[kind] = any([is_new(one) for one in mro(kind) if one not in own])
        return kinds[kind]
    def copy(value, hashed=False):
        kind = type(value)
        budget[0] -= 1
        if kind in (int, float, str, bytes, bool, type(None)) or budget[0] < 0:
            return value
        if kind in (list, tuple):
            return kind([copy(one, hashed) for one in value])
        if kind in (set, frozenset):
            return kind([copy(one, True) for one in value])
        if kind is dict:
            return {{copy(key, True): copy(one) for key, one in value.items()}}
        if not lies(kind):
            return value
        seen.append(kind)
        for base, made in (
            (str, lambda: str.__str__(value)),
            (int, lambda: int.__int__(value)),
            (float, lambda: float.__float__(value)),
            (bytes, lambda: bytes.__getitem__(value, slice(None))),
            (list, lambda: [copy(one) for one in list.__iter__(value)]),
            (tuple, lambda: tuple([copy(one, hashed) for one in tuple.__iter__(value)])),
            (set, lambda: set([copy(one, True) for one in set.__iter__(value)])),
            (frozenset, lambda: frozenset([copy(one, True) for one in frozenset.__iter__(value)])),
            (dict, lambda: {{copy(key, True): copy(one) for key, one in dict.items(value)}}),
        ):
            if base in mro(kind):
                return made()
        if hashed or not any([is_new_equal(one) for one in mro(kind) if one not in own]):
            return value
        return StandIn()
    def is_new_equal(klass):
        return '__eq__' in read(klass) and is_new(klass)
    try:
        copies = [copy(value) for value in values]
    except Exception:
        return None
    return copies if seen else None
"""
