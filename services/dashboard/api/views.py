"""Reading documents: one by its key, or lists page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import msgspec

from libs.eventstore.store import Document, Store
from libs.runtime.http import Problem

T = TypeVar("T")

#: Documents read at a time.
PAGE = 200
#: Documents that one answer looks through; a filter that finds less says where to go on.
SCAN_LIMIT = 5_000


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a list."""

    items: list[Any]
    #: Give it as `before` to go on; None at the end.
    next: str | None


async def one(store: Store, view: str, key: str, type_: type[T]) -> T | None:
    """Read one document."""
    found = await store.document(view, key)
    return None if found is None else _decoded(found, type_)


async def known(store: Store, view: str, key: str, type_: type[T]) -> T:
    """Read one document. Raises Problem 404."""
    found = await one(store, view, key, type_)
    if found is None:
        raise Problem(
            404, "Not found", f"there is no {view} {key!r}; what was recorded a moment ago may follow shortly"
        )
    return found


async def each(store: Store, view: str, type_: type[T], before: str = "") -> AsyncIterator[tuple[str, T]]:
    """Read a view's documents with their place in the order, the greatest first."""
    while True:
        page = await store.documents(view, limit=PAGE, before=before)
        for document in page:
            before = document.sort
            yield before, _decoded(document, type_)
        if len(page) < PAGE:
            return


def _decoded(document: Document, type_: type[T]) -> T:
    """Read a document. Raises Problem 503: only what other code has written reads otherwise, and not for long."""
    try:
        return msgspec.json.decode(document.data, type=type_)
    except msgspec.ValidationError as error:
        detail = f"{document.view} {document.key!r} is of another release and is being built anew: {error}"
        raise Problem(503, "Built anew", detail, headers={"Retry-After": "5"}) from error


async def listing(
    store: Store, view: str, type_: type[T], *, limit: int, before: str, keep: Callable[[T], bool]
) -> Listing:
    """Read up to `limit` documents that are wanted."""
    items: list[T] = []
    seen, last = 0, before
    async for place, item in each(store, view, type_, before):
        if len(items) == limit or seen == SCAN_LIMIT:
            return Listing(items=items, next=last)
        seen, last = seen + 1, place
        if keep(item):
            items.append(item)
    return Listing(items=items, next=None)
