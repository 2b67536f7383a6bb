import itertools
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from stores.rules_cache.creation import create_property
from stores.rules_cache.documents import decode_properties
from stores.rules_cache.problems import InvalidPropertyError


def counted_bytes():
    """Bytes that differ from call to call and are the same in each run."""
    numbers = itertools.count(1)
    return lambda size: next(numbers).to_bytes(size)


def test_a_created_property_is_in_the_file_and_knows_its_secrets(tmp_path):
    path = tmp_path / "rules" / "properties.json"
    new = create_property(
        path,
        name="Shop",
        random_bytes=counted_bytes(),
        time_zone="Europe/Berlin",
        currency="EUR",
        session_gap_seconds=600,
    )
    [stored] = decode_properties(path.read_bytes())
    assert stored == new.created
    [stream] = stored.data_streams
    assert stream.measurement_id == new.measurement_id
    assert stream.accepts_secret(new.api_secret, 0)
    assert stored.accepts_read_key(new.read_key, 0)
    assert not stored.accepts_read_key(new.api_secret, 0)
    rules = stored.current.rules
    assert (rules.time_zone, rules.currency, rules.session_gap_seconds) == (
        "Europe/Berlin",
        "EUR",
        600,
    )


def test_secrets_have_128_bits_and_do_not_stand_in_the_file(tmp_path):
    path = tmp_path / "properties.json"
    new = create_property(path, name="Shop", random_bytes=secrets.token_bytes)
    content = path.read_text()
    for secret in (new.api_secret, new.read_key):
        assert len(bytes.fromhex(secret)) == 16
        assert secret not in content


def test_ids_that_are_taken_are_drawn_again(tmp_path):
    path = tmp_path / "properties.json"
    first = create_property(path, name="One", random_bytes=counted_bytes())
    second = create_property(path, name="Two", random_bytes=counted_bytes())
    assert first.created.property_id != second.created.property_id
    assert first.measurement_id != second.measurement_id


def test_wrong_settings_are_reported_together_and_nothing_is_written(tmp_path):
    path = tmp_path / "properties.json"
    with pytest.raises(InvalidPropertyError) as caught:
        create_property(
            path,
            name="",
            random_bytes=secrets.token_bytes,
            time_zone="Berlin",
            currency="euro",
            session_gap_seconds=10,
        )
    assert [problem.where for problem in caught.value.problems] == [
        "name",
        "time_zone",
        "currency",
        "session_gap_seconds",
    ]
    assert "got 10; allowed: greater than or equal to 300" in str(caught.value)
    assert not path.exists()


def test_a_broken_file_is_left_as_it_is(tmp_path):
    path = tmp_path / "properties.json"
    path.write_text("{broken")
    with pytest.raises(InvalidPropertyError):
        create_property(path, name="Shop", random_bytes=secrets.token_bytes)
    assert path.read_text() == "{broken"


def test_creations_at_the_same_time_are_all_kept(tmp_path):
    path = tmp_path / "properties.json"
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(
                lambda number: create_property(
                    path, name=f"Shop {number}", random_bytes=secrets.token_bytes
                ),
                range(24),
            )
        )
    kept = {owner.property_id for owner in decode_properties(path.read_bytes())}
    assert kept == {new.created.property_id for new in made}
    assert len(kept) == 24
