"""Asks GitHub about one repository at a time, with its token, and decodes what comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from githubkit.auth import TokenAuthStrategy

from libs.forge.error import ForgeRefusedError, ForgeUnavailableError
from libs.forge.github.address import Address
from libs.forge.github.answer import Drafted
from libs.forge.github.token import Tokens, decoded
from libs.forge.github.wire import AnswerError, OutcomeUnknownError, Wire

#: Pages of a hundred that are read of any list.
MAX_PAGES = 20
Answer = TypeVar("Answer")


class Client:
    """Is the API as the adapters see it; `path` is what follows the repository's own."""

    def __init__(self, wire: Wire, tokens: Tokens) -> None:
        self._wire = wire
        self.tokens = tokens

    async def get(
        self, address: Address, path: str, wanted: type[Answer], params: Mapping[str, str | int] | None = None
    ) -> Answer:
        """Reads; raises AnswerError and ForgeUnavailableError."""
        response = await self._send(address, "GET", address.path + path, params=params, repeatable=True)
        return decoded(response, wanted)

    async def find(self, address: Address, path: str, wanted: type[Answer]) -> Answer | None:
        """Reads what may be missing: None if it is."""
        try:
            return await self.get(address, path, wanted)
        except AnswerError as error:
            if error.status != 404:
                raise
        return None

    async def pages(
        self,
        address: Address,
        path: str,
        wanted: type[Answer],
        params: Mapping[str, str | int] | None = None,
        *,
        most: int = MAX_PAGES,
    ) -> AsyncIterator[Answer]:
        """Reads a list page by page; what lies behind `most` pages is left out."""
        url = address.path + path
        given: Mapping[str, str | int] | None = {"per_page": 100, **(params or {})}
        for _ in range(most):
            response = await self._send(address, "GET", url, params=given, repeatable=True)
            yield decoded(response, wanted)
            url, given = response.links.get("next", {}).get("url", ""), None
            if not url:
                return
            if urlsplit(url)[:2] != urlsplit(self._wire.api)[:2]:
                # The token goes nowhere else.
                raise ForgeUnavailableError("GitHub's next page is on another host", transient=True)

    async def post(
        self, address: Address, path: str, json: Mapping[str, Any], wanted: type[Answer]
    ) -> Answer:
        """Makes something; raises AnswerError, OutcomeUnknownError and ForgeUnavailableError."""
        response = await self._send(address, "POST", address.path + path, json=json, repeatable=False)
        try:
            return decoded(response, wanted)
        except ForgeUnavailableError as error:
            raise OutcomeUnknownError(error.cause, transient=True) from None

    async def patch(
        self, address: Address, path: str, json: Mapping[str, Any], wanted: type[Answer]
    ) -> Answer:
        """Sets fields to values, which may be done twice."""
        return decoded(
            await self._send(address, "PATCH", address.path + path, json=json, repeatable=True), wanted
        )

    async def mutate(self, address: Address, query: str, variables: Mapping[str, str]) -> None:
        """Carries out a GraphQL mutation that may be done twice; for what REST does not offer."""
        api = self._wire.api
        url = api.removesuffix("/v3") + "/graphql" if api.endswith("/api/v3") else api + "/graphql"
        json = {"query": query, "variables": dict(variables)}
        answer = decoded(await self._send(address, "POST", url, json=json, repeatable=True), Drafted)
        if answer.errors:
            raise ForgeRefusedError("; ".join(fault.message for fault in answer.errors))

    async def _send(
        self,
        address: Address,
        method: str,
        url: str,
        *,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, str | int] | None = None,
        repeatable: bool,
    ) -> httpx.Response:
        for last in (False, True):
            auth = TokenAuthStrategy(await self.tokens.token(address))
            try:
                return await self._wire.send(
                    auth, method, url, json=json, params=params, repeatable=repeatable
                )
            except AnswerError as error:
                # An installation's token may be revoked within its hour; a 401 had no effect.
                if last or error.status != 401 or not self.tokens.forget(address):
                    raise
        raise AssertionError("the last send returns or raises")
