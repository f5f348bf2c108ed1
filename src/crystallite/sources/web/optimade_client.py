"""What is asked of an OPTIMADE server, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urljoin, urlsplit

from ...errors import CrystalliteError
from .client import Check, JsonClient, ServiceError
from .journal import Journal

if TYPE_CHECKING:
    import httpx

# Name -> base address; from the providers' list of the OPTIMADE consortium (github
# Materials-Consortia/providers 20b6da4, src/index-metadbs), NOMAD's from its own page.
PROVIDERS = {
    "aflow": "https://aflow.org/API/optimade",
    "alexandria": "https://alexandria.icams.rub.de/pbe",
    "alexandria-pbesol": "https://alexandria.icams.rub.de/pbesol",
    "cmr": "https://cmr-optimade.fysik.dtu.dk",
    "cod": "https://www.crystallography.net/cod/optimade",
    "jarvis": "https://jarvis.nist.gov/optimade/jarvisdft",
    "mp": "https://optimade.materialsproject.org",
    "nomad": "https://nomad-lab.eu/prod/v1/optimade",
    "oqmd": "https://oqmd.org/optimade",
    "tcod": "https://www.crystallography.net/tcod/optimade",
    "twodmatpedia": "http://optimade.2dmatpedia.org",
}
FIRST_ATTEMPTS = 3  # a first contact that fails is more likely a missing network than a busy server
SHOWN = 400  # characters of what a server says


def base_address(server: str) -> str:
    """Return the address up to and with the version (/v1) of a provider's name or of an address."""
    if "://" not in server and server.lower() not in PROVIDERS:
        raise CrystalliteError(
            f"no provider {server!r}; there are: {', '.join(PROVIDERS)}; or give an address (https://...)"
        )
    address = PROVIDERS.get(server.lower(), server).split("?")[0].rstrip("/").removesuffix("/structures")
    last = address.rsplit("/", 1)[-1]
    return address if last[:1] == "v" and last[1:].replace(".", "").isdecimal() else f"{address}/v1"


class OptimadeClient(JsonClient):
    """An OPTIMADE server; `base`: its address with the version. Errors carry what the server says."""

    def __init__(self, base: str, journal: Journal) -> None:
        parts = urlsplit(base)
        root = f"{parts.scheme}://{parts.netloc}"
        advice = "OPTIMADE needs no key; is the address right?"
        super().__init__("the OPTIMADE server", root, {}, journal, advice)
        self.base_path = parts.path

    def properties(self) -> dict[str, dict[str, Any]]:
        """Return what the server says about each property of a structure: unit, type, description."""
        content = self.get_now(f"{self.base_path}/info/structures", {}, _is_info, FIRST_ATTEMPTS)
        described: dict[str, dict[str, Any]] = content["data"]["properties"]
        return described

    def iter_pages(self, parameters: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Yield the replies to a query for structures, following links.next.

        A page_limit that the server refuses is left to the server. Raises ServiceError if the pages go round
        in circles or on to another server.
        """
        path, asked = f"{self.base_path}/structures", dict(parameters)
        seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
        while True:
            seen.add((path, tuple(sorted(asked.items()))))
            try:
                page = self.get(path, asked, _is_page).content
            except ServiceError as error:
                if "page_limit" not in str(error) or len(seen) > 1 or asked.pop("page_limit", None) is None:
                    raise
                continue
            yield page
            link = _next_link(page)
            if link is None:
                return
            path, asked = self._followed(link, path)
            if (path, tuple(sorted(asked.items()))) in seen:
                raise ServiceError(f"{self.endpoint}: its pages form a loop, at {link}")

    def _followed(self, link: str, path: str) -> tuple[str, dict[str, str]]:
        """Return path and parameters of the next page's address, which may be relative."""
        parts = urlsplit(urljoin(f"{self.endpoint}{path}", link))
        if parts.hostname != urlsplit(self.endpoint).hostname:
            raise ServiceError(
                f"{self.endpoint}: the next page is at another server, {parts.netloc}; "
                "give that one's address"
            )
        return parts.path, dict(parse_qsl(parts.query, keep_blank_values=True))

    def _content(self, response: httpx.Response, is_expected: Check) -> Any:
        """Return the JSON of a reply; a refusal is shown in the server's words."""
        status = response.status_code
        if (400 <= status < 500 and status != 429) or status == 501:
            said = _details(response)
            if status == 404:
                place = response.url.copy_with(query=None)
                raise ServiceError(f"nothing at {place} (404); is the address right?")
            if said:
                raise ServiceError(f"the OPTIMADE server refuses the query ({status}): {said}")
        return super()._content(response, is_expected)


def _details(response: httpx.Response) -> str:
    """Return the texts of an OPTIMADE error reply, "" if it is none."""
    try:
        content = response.json()
    except (ValueError, RecursionError):
        return ""
    errors = content.get("errors") if isinstance(content, dict) else None
    texts = [str(e.get("detail") or e.get("title") or "") for e in errors or [] if isinstance(e, dict)]
    said = " ".join("; ".join(text.strip() for text in texts if text).split())
    return said if len(said) <= SHOWN else f"{said[:SHOWN]} ..."


def _is_page(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("data"), list)


def _is_info(content: Any) -> bool:
    data = content.get("data") if isinstance(content, dict) else None
    return isinstance(data, dict) and isinstance(data.get("properties"), dict)


def _next_link(page: dict[str, Any]) -> str | None:
    """Return the address of the next page: a text, or an object with href."""
    link = (page.get("links") or {}).get("next")
    if isinstance(link, dict):
        link = link.get("href")
    if link or not (page.get("meta") or {}).get("more_data_available") or not page["data"]:
        return str(link) if link else None
    raise ServiceError("the OPTIMADE server says that there is more, but not where")
