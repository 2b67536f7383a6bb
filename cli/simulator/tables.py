"""Tables: what the simulated shop sells and who comes to it, with weights as in real shops."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Device:
    """A browser on a device: what it sends, and what a report should make of it."""

    user_agent: str
    category: str
    browser: str
    operating_system: str
    screens: tuple[str, ...]
    brands: str = ""
    platform: str = ""
    platform_version: str = ""
    model: str = ""

    @property
    def has_client_hints(self) -> bool:
        """Whether the browser is one that sends User-Agent client hints."""
        return bool(self.brands)


_CHROMIUM: Final = "Chromium;142.0.7444.60|{};142.0.{}|Not_A Brand;99.0.0.0"
_WEBKIT: Final = "AppleWebKit/537.36 (KHTML, like Gecko)"
_DESKTOP_SCREENS: Final = ("1920x1080", "2560x1440", "1536x864", "1440x900")
_PHONE_SCREENS: Final = ("390x844", "412x915", "360x800", "430x932")

DEVICES: Final[tuple[tuple[Device, int], ...]] = (
    (
        Device(
            user_agent=f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Chrome/142.0.0.0 "
            "Safari/537.36",
            category="desktop",
            browser="Chrome",
            operating_system="Windows",
            screens=_DESKTOP_SCREENS,
            brands=_CHROMIUM.format("Google%20Chrome", "7444.60"),
            platform="Windows",
            platform_version="15.0.0",
        ),
        26,
    ),
    (
        Device(
            user_agent=f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_WEBKIT} "
            "Chrome/142.0.0.0 Safari/537.36",
            category="desktop",
            browser="Chrome",
            operating_system="Macintosh",
            screens=_DESKTOP_SCREENS,
            brands=_CHROMIUM.format("Google%20Chrome", "7444.60"),
            platform="macOS",
            platform_version="15.6.1",
        ),
        8,
    ),
    (
        Device(
            user_agent=f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_WEBKIT} Chrome/142.0.0.0 "
            "Safari/537.36 Edg/142.0.0.0",
            category="desktop",
            browser="Edge",
            operating_system="Windows",
            screens=_DESKTOP_SCREENS,
            brands=_CHROMIUM.format("Microsoft%20Edge", "3595.53"),
            platform="Windows",
            platform_version="10.0.0",
        ),
        6,
    ),
    (
        Device(
            user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
            category="desktop",
            browser="Firefox",
            operating_system="Linux",
            screens=_DESKTOP_SCREENS,
        ),
        4,
    ),
    (
        Device(
            user_agent="Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 "
            "(KHTML, like Gecko) Version/18.6 Safari/605.1.15",
            category="desktop",
            browser="Safari",
            operating_system="Macintosh",
            screens=_DESKTOP_SCREENS,
        ),
        6,
    ),
    (
        Device(
            user_agent="Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) "
            "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
            category="mobile",
            browser="Safari",
            operating_system="iOS",
            screens=_PHONE_SCREENS,
        ),
        24,
    ),
    (
        Device(
            user_agent=f"Mozilla/5.0 (Linux; Android 10; K) {_WEBKIT} Chrome/142.0.0.0 Mobile "
            "Safari/537.36",
            category="mobile",
            browser="Chrome",
            operating_system="Android",
            screens=_PHONE_SCREENS,
            brands=_CHROMIUM.format("Google%20Chrome", "7444.48"),
            platform="Android",
            platform_version="15.0.0",
            model="Pixel 9",
        ),
        19,
    ),
    (
        Device(
            user_agent=f"Mozilla/5.0 (Linux; Android 14; SM-S921B) {_WEBKIT} SamsungBrowser/28.0 "
            "Chrome/130.0.0.0 Mobile Safari/537.36",
            category="mobile",
            browser="Samsung Internet",
            operating_system="Android",
            screens=_PHONE_SCREENS,
        ),
        4,
    ),
    (
        Device(
            user_agent="Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 "
            "(KHTML, like Gecko) Version/17.7 Mobile/15E148 Safari/604.1",
            category="tablet",
            browser="Safari",
            operating_system="iOS",
            screens=("820x1180", "1024x1366"),
        ),
        3,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a visit comes from: what its first page carries and what that means.

    ``source`` and the rest are what the visit names by itself; a direct visit names nothing.
    """

    query: str = ""
    referrer: str = ""
    source: str = "(direct)"
    medium: str = "(none)"
    campaign: str = "(direct)"


ORIGINS: Final[tuple[tuple[Origin, int], ...]] = (
    (Origin(), 30),
    (
        Origin(
            referrer="https://www.google.com/",
            source="google",
            medium="organic",
            campaign="(organic)",
        ),
        24,
    ),
    (
        Origin(
            referrer="https://www.bing.com/",
            source="bing",
            medium="organic",
            campaign="(organic)",
        ),
        4,
    ),
    (
        Origin(
            query="gclid=Cj0KCQiA{click}",
            referrer="https://www.google.com/",
            source="google",
            medium="cpc",
            campaign="(not set)",
        ),
        8,
    ),
    (
        Origin(
            query="utm_source=google&utm_medium=cpc&utm_campaign=brand_shoes&utm_term=red%20shoes",
            referrer="https://www.google.com/",
            source="google",
            medium="cpc",
            campaign="brand_shoes",
        ),
        7,
    ),
    (
        Origin(
            query="utm_source=newsletter&utm_medium=email&utm_campaign=autumn_sale",
            source="newsletter",
            medium="email",
            campaign="autumn_sale",
        ),
        9,
    ),
    (
        Origin(
            query="utm_source=instagram&utm_medium=paid_social&utm_campaign=creators",
            referrer="https://l.instagram.com/",
            source="instagram",
            medium="paid_social",
            campaign="creators",
        ),
        6,
    ),
    (
        Origin(
            referrer="https://m.facebook.com/",
            source="m.facebook.com",
            medium="referral",
            campaign="(referral)",
        ),
        4,
    ),
    (
        Origin(
            referrer="https://blog.example.org/best-shoes",
            source="blog.example.org",
            medium="referral",
            campaign="(referral)",
        ),
        5,
    ),
    (
        Origin(
            query="utm_source=partner_net&utm_medium=affiliate&utm_campaign=coupons",
            referrer="https://coupons.example.net/",
            source="partner_net",
            medium="affiliate",
            campaign="coupons",
        ),
        3,
    ),
)

COUNTRIES: Final[tuple[tuple[tuple[str, str], int], ...]] = (
    (("US", "en-us"), 38),
    (("DE", "de-de"), 14),
    (("GB", "en-gb"), 12),
    (("FR", "fr-fr"), 9),
    (("IN", "en-in"), 9),
    (("BR", "pt-br"), 6),
    (("ES", "es-es"), 5),
    (("JP", "ja-jp"), 4),
    (("CH", "de-ch"), 3),
)
"""Country and language of a visitor."""


@dataclass(frozen=True, kw_only=True)
class Article:
    """What the shop sells. ``price_cents`` in the shop's currency."""

    item_id: str
    name: str
    brand: str
    category: str
    price_cents: int

    @property
    def path(self) -> str:
        """Of its page."""
        return f"/p/{self.item_id.lower()}"


ARTICLES: Final = tuple(
    Article(item_id=item_id, name=name, brand=brand, category=category, price_cents=cents)
    for item_id, name, brand, category, cents in (
        ("SH-101", "Trail Runner", "Nordfell", "Shoes", 12_990),
        ("SH-102", "City Sneaker", "Nordfell", "Shoes", 8_950),
        ("SH-103", "Hiking Boot", "Alpin", "Shoes", 17_900),
        ("JA-201", "Rain Jacket", "Alpin", "Jackets", 14_900),
        ("JA-202", "Down Vest", "Alpin", "Jackets", 11_995),
        ("BA-301", "Day Pack 20", "Carry", "Bags", 7_400),
        ("BA-302", "Duffel 60", "Carry", "Bags", 9_925),
        ("AC-401", "Wool Socks", "Nordfell", "Accessories", 1_290),
        ("AC-402", "Bottle 0.7 l", "Carry", "Accessories", 2_450),
        ("AC-403", "Gift Card", "Shop", "Accessories", 5_000),
    )
)

CATEGORY_PATHS: Final = {
    "Shoes": "/c/shoes",
    "Jackets": "/c/jackets",
    "Bags": "/c/bags",
    "Accessories": "/c/accessories",
}

LANDING_PATHS: Final[tuple[tuple[str, int], ...]] = (
    ("/", 45),
    ("/sale", 15),
    ("category", 18),  # one of CATEGORY_PATHS
    ("article", 17),  # the page of an article
    ("/blog/how-to-choose-boots", 5),
)
