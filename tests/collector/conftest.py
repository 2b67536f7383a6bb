"""What tests of the tracker share: a collector, a shop and a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver

from tests.collector.browsing import Collector, Shop, browsing, collecting


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with collecting(tmp_path) as collector:
        yield collector


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.close()


@pytest.fixture
def browser() -> Iterator[webdriver.Chrome]:
    with browsing() as browser:
        yield browser
