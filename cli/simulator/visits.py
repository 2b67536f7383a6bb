"""Visits: what the people of a simulated shop do, drawn from a seed. Nothing here knows a clock."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Final, Literal, TypeVar

from cli.simulator.tables import (
    ARTICLES,
    CATEGORY_PATHS,
    COUNTRIES,
    DEVICES,
    LANDING_PATHS,
    ORIGINS,
    Article,
    Device,
    Origin,
)

Row = TypeVar("Row")
Protocol = Literal["web", "server"]
"""``web``: GA4's /g/collect, from a browser; ``server``: its Measurement Protocol."""

KEY_EVENTS: Final = frozenset({"purchase"})
HOUR_MS: Final = 3_600_000
_REMEMBERED_CLIENTS: Final = 20_000
_MORE_PAGES_SHARE: Final = 0.62
_MAX_PAGES: Final = 12
_CART_SHARE: Final = 0.3
_PURCHASE_SHARE: Final = 0.45
_SERVER_PURCHASE_SHARE: Final = 0.25
_AGAIN_SHARE: Final = 0.1
"""Of sales whose last page is loaded once more, and sends the sale again."""
_RENEWAL_SHARE: Final = 0.03
_NAMELESS_PAGE_SHARE: Final = 0.02
"""Of page views by tags that do not say what page they are on."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """A property that visits go to, and how often in comparison.

    Without a secret nothing is sent by the Measurement Protocol.
    """

    measurement_id: str
    weight: float = 1.0
    api_secret: str = ""
    host: str = "shop.example.com"
    currency: str = "USD"


@dataclass(frozen=True, kw_only=True)
class Habits:
    """What may be turned in a simulation.

    Attributes:
        returning_share: Of visits that are made by a client seen before.
        history_hours: 0: people visit now, with browsers. Otherwise every visit travels by the
            Measurement Protocol, dated back by up to so many hours.
    """

    returning_share: float = 0.3
    history_hours: float = 0.0


@dataclass(kw_only=True)
class Client:
    """A browser that may come again."""

    client_id: str
    device: Device
    screen: str
    country: str
    language: str
    network: str
    visits: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """One hit as it is meant.

    Attributes:
        after_ms: Pause since the hit before it; hits of one request have none.
        path: Of the page; empty where the hit names none.
        request: Index, within the visit, of the request that carries it.
        names_session: Whether it carries a session id; browsers' hits always do.
    """

    event_name: str
    path: str
    after_ms: int
    request: int
    protocol: Protocol
    engagement_ms: int = 0
    first_visit: bool = False
    names_session: bool = True
    value_cents: int = 0
    transaction_id: str = ""
    articles: tuple[tuple[Article, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One visit: who, from where, and all that happened in it.

    Attributes:
        number: From 1, in the order of the script.
        back_ms: How long before the start of the play it began; 0 means now.
    """

    number: int
    site: Site
    client: Client
    origin: Origin
    landing_query: str
    session_id: int
    session_number: int
    hits: tuple[Hit, ...]
    back_ms: int = 0

    @property
    def requests(self) -> int:
        """How many requests carry it."""
        return self.hits[-1].request + 1


def visits(seed: int, sites: list[Site], habits: Habits) -> Iterator[Visit]:
    """Endless visits; the same seed, sites and habits give the same ones."""
    random = Random(seed)  # noqa: S311  (a script that can be drawn again is the point)
    known: dict[str, list[Client]] = {site.measurement_id: [] for site in sites}
    weights = list(accumulate(site.weight for site in sites))
    number = 0
    while True:
        number += 1
        site = random.choices(sites, cum_weights=weights)[0]
        yield _visit(random, number, site, known[site.measurement_id], habits)


def _visit(random: Random, number: int, site: Site, known: list[Client], habits: Habits) -> Visit:
    client = _client(random, known, habits.returning_share)
    client.visits += 1
    origin = _drawn(random, ORIGINS)
    protocol: Protocol = "server" if habits.history_hours else "web"
    back_ms = int(random.random() * habits.history_hours * HOUR_MS)
    if site.api_secret and random.random() < _RENEWAL_SHARE:
        hits, origin = _renewal(), ORIGINS[0][0]
    else:
        hits = _Walk(random, site, number, protocol, first=client.visits == 1).hits()
    return Visit(
        number=number,
        site=site,
        client=client,
        origin=origin,
        landing_query=origin.query.format(click=f"{random.getrandbits(64):016x}"),
        session_id=1_700_000_000 + random.randrange(100_000_000),
        session_number=client.visits,
        hits=hits,
        back_ms=back_ms,
    )


def _client(random: Random, known: list[Client], returning_share: float) -> Client:
    if known and random.random() < returning_share:
        return random.choice(known)
    device = _drawn(random, DEVICES)
    country, language = _drawn(random, COUNTRIES)
    client = Client(
        client_id=f"{random.getrandbits(31)}.{1_600_000_000 + random.randrange(100_000_000)}",
        device=device,
        screen=random.choice(device.screens),
        country=country,
        language=language,
        network=f"198.{random.choice((18, 19))}.{random.randrange(256)}.",
    )
    if len(known) < _REMEMBERED_CLIENTS:
        known.append(client)
    else:
        known[random.randrange(_REMEMBERED_CLIENTS)] = client
    return client


def _renewal() -> tuple[Hit, ...]:
    """What a billing system tells on behalf of a client who is not on the site."""
    return (
        Hit(
            event_name="subscription_renewed",
            path="",
            after_ms=0,
            request=0,
            protocol="server",
            names_session=False,
        ),
    )


def _drawn(random: Random, table: tuple[tuple[Row, int], ...]) -> Row:
    return random.choices([row for row, _ in table], [weight for _, weight in table])[0]


class _Walk:
    """One way through the shop, from the landing page to the last hit."""

    def __init__(
        self, random: Random, site: Site, number: int, protocol: Protocol, *, first: bool
    ) -> None:
        self._random = random
        self._sells_by_server = bool(site.api_secret)
        self._number = number
        self._protocol = protocol
        self._first = first and protocol == "web"
        self._hits: list[Hit] = []
        self._cart: list[tuple[Article, int]] = []

    def hits(self) -> tuple[Hit, ...]:
        self._page(self._landing_path())
        pages = 1
        while pages < _MAX_PAGES and self._random.random() < _MORE_PAGES_SHARE:
            self._page(self._next_path())
            pages += 1
        if self._cart and self._random.random() < _PURCHASE_SHARE:
            self._check_out()
        return tuple(self._hits)

    def _landing_path(self) -> str:
        path = _drawn(self._random, LANDING_PATHS)
        if path == "category":
            return self._random.choice(list(CATEGORY_PATHS.values()))
        return self._random.choice(ARTICLES).path if path == "article" else path

    def _next_path(self) -> str:
        if self._random.random() < 0.55:
            return self._random.choice(ARTICLES).path
        return self._random.choice([*CATEGORY_PATHS.values(), "/sale", "/"])

    def _page(self, path: str) -> None:
        article = next((article for article in ARTICLES if article.path == path), None)
        if self._random.random() < _NAMELESS_PAGE_SHARE:
            path = ""
        self._add("page_view", path, first_visit=self._first)
        self._first = False
        if article is not None:
            self._add("view_item", path, together=True, articles=((article, 1),))
            if self._random.random() < _CART_SHARE:
                self._put_in_cart(article, path)
        scrolls = self._random.random() < 0.4
        if scrolls:
            self._add("scroll", path, self._seconds(6), engagement_ms=self._engagement(9))
        if self._random.random() < 0.8:
            self._add(
                "user_engagement",
                path,
                self._seconds(9),
                together=scrolls and self._random.random() < 0.5,
                engagement_ms=self._engagement(14),
            )

    def _put_in_cart(self, article: Article, path: str) -> None:
        line = (article, self._random.choice((1, 1, 1, 2)))
        self._cart.append(line)
        self._add(
            "add_to_cart",
            path,
            self._seconds(8),
            engagement_ms=self._engagement(8),
            articles=(line,),
        )

    def _check_out(self) -> None:
        cart = tuple(self._cart)
        self._add("page_view", "/checkout")
        self._add("begin_checkout", "/checkout", together=True, articles=cart)
        by_server = self._sells_by_server and self._random.random() < _SERVER_PURCHASE_SHARE
        self._buy(cart, "server" if by_server else self._protocol)
        if self._random.random() < _AGAIN_SHARE:
            self._buy(cart, self._protocol)

    def _buy(self, cart: tuple[tuple[Article, int], ...], protocol: Protocol) -> None:
        self._add(
            "purchase",
            "/checkout/thanks",
            self._seconds(30),
            engagement_ms=self._engagement(30),
            articles=cart,
            transaction_id=f"T-{self._number}",
            protocol=protocol,
        )

    def _add(
        self,
        event_name: str,
        path: str,
        after_ms: int | None = None,
        *,
        together: bool = False,
        engagement_ms: int = 0,
        first_visit: bool = False,
        articles: tuple[tuple[Article, int], ...] = (),
        transaction_id: str = "",
        protocol: Protocol | None = None,
    ) -> None:
        last = self._hits[-1] if self._hits else None
        if last is None or together:
            after_ms = 0
        elif after_ms is None:
            after_ms = self._seconds(4)
        self._hits.append(
            Hit(
                event_name=event_name,
                path=path,
                after_ms=after_ms,
                request=0 if last is None else last.request + (0 if together else 1),
                protocol=protocol or self._protocol,
                engagement_ms=engagement_ms,
                first_visit=first_visit,
                value_cents=sum(article.price_cents * count for article, count in articles),
                transaction_id=transaction_id,
                articles=articles,
            )
        )

    def _seconds(self, mean: float) -> int:
        """A pause in milliseconds, at least half a second."""
        return 500 + int(self._random.expovariate(1 / mean) * 1000)

    def _engagement(self, mean: float) -> int:
        return min(self._seconds(mean), 10 * 60_000)
