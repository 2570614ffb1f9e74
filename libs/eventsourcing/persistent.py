"""Collections that are values: a change makes a new one, and the old one stays as it was.

A map's newest version is a plain dict, and an older one knows how it differs from the next (Baker's rerooting). So a
state that goes on from event to event costs what dicts cost, however large it is; reading an older version first takes
back what came since. Two branches that take turns are right, and slow. One thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import GenericAlias
from typing import Any, Final, Generic, TypeVar, get_args, get_origin

import msgspec

Key = TypeVar("Key")
Value = TypeVar("Value")

_ABSENT: Final[Any] = object()


class PersistentMap(Generic[Key, Value]):
    """A map of which every version can be read. In no particular order: going back changes it."""

    __slots__ = ("_difference", "_values")

    def __init__(self, values: Mapping[Key, Value] | Iterable[tuple[Key, Value]] = ()) -> None:
        #: All there is, in the version that was used last; None in the others.
        self._values: dict[Key, Value] | None = dict(values)
        #: In the others: the key in which a neighbour differs, what it is here, and that neighbour.
        self._difference: tuple[Key, Value, PersistentMap[Key, Value]] | None = None

    def insert(self, key: Key, value: Value) -> PersistentMap[Key, Value]:
        """Return the map with an entry put in, or put in place of the one that is there."""
        values = self._values if self._values is not None else self._rerooted()
        if not values:
            # Empty ones are where states begin, many from the same: it keeps its dict.
            return PersistentMap({key: value})
        newer = _version(values)
        self._difference, self._values = (key, values.get(key, _ABSENT), newer), None
        values[key] = value
        return newer

    def remove(self, key: Key) -> PersistentMap[Key, Value]:
        """Return the map without an entry. Raises KeyError."""
        values = self._values if self._values is not None else self._rerooted()
        value = values.pop(key)
        newer = _version(values)
        self._difference, self._values = (key, value, newer), None
        return newer

    def get(self, key: Key) -> Value | None:
        """Return an entry, None where there is none."""
        return (self._values if self._values is not None else self._rerooted()).get(key)

    def __getitem__(self, key: Key) -> Value:
        return (self._values if self._values is not None else self._rerooted())[key]

    def __contains__(self, key: object) -> bool:
        return key in (self._values if self._values is not None else self._rerooted())

    def __len__(self) -> int:
        return len(self._values if self._values is not None else self._rerooted())

    def __iter__(self) -> Iterator[Key]:
        return iter(self.plain())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PersistentMap) and (self is other or self.plain() == other.plain())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"PersistentMap({self.plain()!r})"

    def plain(self) -> dict[Key, Value]:
        """Return a dict of its own."""
        return dict(self._values if self._values is not None else self._rerooted())

    def _rerooted(self) -> dict[Key, Value]:
        """Bring the dict to this version; each version on the way learns how it differs from the one before."""
        way: list[PersistentMap[Key, Value]] = []
        version = self
        while version._values is None:
            assert version._difference is not None
            way.append(version)
            version = version._difference[2]
        values = version._values
        for older in reversed(way):
            assert older._difference is not None
            key, value, newer = older._difference
            newer._difference, newer._values = (key, values.get(key, _ABSENT), older), None
            if value is _ABSENT:
                del values[key]
            else:
                values[key] = value
            older._difference, older._values = None, values
        return values


def _version(values: dict[Key, Value]) -> PersistentMap[Key, Value]:
    made: PersistentMap[Key, Value] = PersistentMap.__new__(PersistentMap)
    made._values, made._difference = values, None
    return made


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Names in a row: new ones come in at the end, and anyone can leave from anywhere, by the number it came in with."""

    names: PersistentMap[int, str] = msgspec.field(default_factory=PersistentMap)
    #: Number of the first that is there, and of the next to come; the same where nobody is.
    first: int = 0
    next: int = 0

    def append(self, name: str) -> Row:
        """Return the row with a name at its end; its number is what was `next`."""
        return Row(names=self.names.insert(self.next, name), first=self.first, next=self.next + 1)

    def remove(self, number: int) -> Row:
        """Return the row without a name. Raises KeyError.

        Whoever left from the middle is stepped over once, when those before have gone.
        """
        names, first = self.names.remove(number), self.first
        while first < self.next and first not in names:
            first += 1
        return Row(names=names, first=first, next=self.next)

    @property
    def front(self) -> str:
        """The first name, empty where nobody is."""
        return self.names[self.first] if self.first < self.next else ""

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        names = self.names.plain()
        return (names[number] for number in sorted(names))


def to_plain(value: Any) -> Any:
    """Give `msgspec` a map as one that it knows. Raises NotImplementedError for anything else."""
    if isinstance(value, PersistentMap):
        return value.plain()
    raise NotImplementedError(f"{type(value).__name__} cannot be encoded")


def from_plain(type_: Any, value: Any) -> Any:
    """Make a map again of what `to_plain` gave. Raises NotImplementedError for any other type."""
    if get_origin(type_) is PersistentMap:
        plain = GenericAlias(dict, get_args(type_))
        return PersistentMap(msgspec.convert(value, plain, dec_hook=from_plain, str_keys=True))
    raise NotImplementedError(f"{type_} cannot be decoded")
