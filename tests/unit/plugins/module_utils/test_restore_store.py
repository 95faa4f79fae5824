from __future__ import annotations

import json
import os

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._restore_store import Record, Store, new_name, timestamp

NOW = 1795258249.0  # 2026-11-21T10:50:49Z
SHA256 = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # of b"x"


def record(name="shop-20261121T105049Z-4f2c1a", **changes):
    values = {
        "name": name,
        "app": "shop",
        "namespace": "shop",
        "cluster": "apps-pg",
        "cluster_namespace": "databases",
        "database": "shop",
        "server_version": "17.5",
        "created": timestamp(NOW),
        "reason": "",
        "size": 1,
        "sha256": SHA256,
        "dump_size": 10,
        "table_bytes": 1000,
        "recipients": ["age1x"],
        "tables": {"public.item": {"rows": 2, "checksum": "7"}},
    }
    return Record(**{**values, **changes})


@pytest.fixture
def store(tmp_path):
    store = Store(str(tmp_path / "points"))
    store.prepare()
    return store


def keep(store, entry, content=b"x"):
    with open(store.partial(entry.name), "wb") as file:
        file.write(content)
    store.keep(entry)


def test_a_name_says_application_and_time():
    assert new_name("my-shop", NOW).startswith("my-shop-20261121T105049Z-")
    assert timestamp(NOW) == "2026-11-21T10:50:49Z"


def test_what_was_kept_is_found_again(store):
    keep(store, record())
    assert store.records("shop") == [record()]
    assert store.get(record().name, "shop") == record()
    assert sorted(os.listdir(store.directory)) == [
        "shop-20261121T105049Z-4f2c1a.dump.age",
        "shop-20261121T105049Z-4f2c1a.json",
    ]
    assert os.stat(store.directory).st_mode & 0o777 == 0o700
    assert os.stat(os.path.join(store.directory, "shop-20261121T105049Z-4f2c1a.json")).st_mode & 0o777 == 0o600


def test_a_file_without_a_record_does_not_count_and_is_cleaned_up(store):
    for name in (
        ".shop-20261121T105049Z-4f2c1a.partial",
        "shop-20261121T105050Z-4f2c1b.dump.age",
        ".shop-two-20261121T105049Z-4f2c1a.partial",
    ):
        with open(os.path.join(store.directory, name), "w"):
            pass
    assert store.records() == []
    store.clean("shop")
    assert os.listdir(store.directory) == [".shop-two-20261121T105049Z-4f2c1a.partial"]


def test_cleaning_leaves_what_counts(store):
    keep(store, record())
    store.clean("shop")
    store.check(record())


def test_a_damaged_file_is_refused_with_both_checksums(store):
    keep(store, record(), b"y")
    with pytest.raises(StackError) as error:
        store.check(record())
    actual = "a1fce4363854ff888cff4b8e7875d600c2682390412a8cf79b37d0b11148b0fa"
    assert str(error.value) == (
        f"{store.path(record().name)} is damaged: its sha256 is {actual}, {SHA256} was recorded. "
        "Choose another restore point, or bring the file back from a copy."
    )
    assert error.value.result == {"expected": SHA256, "actual": actual}


def test_a_shortened_or_missing_file_is_refused(store):
    keep(store, record(), b"xx")
    with pytest.raises(StackError, match="cannot be used: its file has 2 bytes, 1 were recorded"):
        store.check(record())
    os.unlink(store.path(record().name))
    with pytest.raises(StackError, match="cannot be used: its file is missing"):
        store.check(record())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "shop-20261121T105049Z-000000",
            "There is no restore point shop-20261121T105049Z-000000 in {}. There are: shop-20261121T105049Z-4f2c1a.",
        ),
        (
            "../../etc/passwd",
            "'../../etc/passwd' is no name of a restore point. There are: shop-20261121T105049Z-4f2c1a.",
        ),
        (
            "other-20261121T105049Z-4f2c1a",
            "The restore point other-20261121T105049Z-4f2c1a belongs to application 'other', not to 'shop'. "
            "There are: shop-20261121T105049Z-4f2c1a.",
        ),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(store, name, message):
    keep(store, record())
    keep(store, record("other-20261121T105049Z-4f2c1a", app="other"))
    with pytest.raises(StackError) as error:
        store.get(name, "shop")
    assert str(error.value) == message.format(store.directory)


def test_a_record_that_cannot_be_read_is_named(store):
    path = os.path.join(store.directory, "shop-20261121T105049Z-4f2c1a.json")
    with open(path, "w") as file:
        json.dump({"name": "x"}, file)
    with pytest.raises(StackError, match="is no record of a restore point"):
        store.records()


def test_removing_takes_both_files(store):
    keep(store, record())
    store.remove(record().name)
    assert os.listdir(store.directory) == []


def test_room_is_needed_for_the_tables_or_what_the_last_one_took(store):
    assert store.expected_size("shop", "shop", 5000) == 5000
    keep(store, record(size=100))
    assert store.expected_size("shop", "shop", 2000) == 240
    assert store.expected_size("shop", "shop", 500) == 120
    assert store.expected_size("shop", "another", 500) == 500


def test_too_little_room_is_a_sentence(store):
    store.check_room(0, 0)
    with pytest.raises(StackError) as error:
        store.check_room(1 << 60, 1 << 20)
    assert "a restore point may take 1099511627776 MiB, and 1 MiB must stay free. Make room there" in str(error.value)


def test_one_at_a_time(store):
    with (
        store.locked(0),
        pytest.raises(StackError, match="Another run is still at work in"),
        store.locked(0),
    ):
        pass
    with store.locked(0):
        pass


def test_the_overview_is_newest_first_and_names_problems(store):
    keep(store, record())
    keep(store, record("shop-20261121T105149Z-4f2c1a", created=timestamp(NOW + 60)), b"y")
    newest, oldest = store.overview("shop", NOW + 100, verify=True)
    assert (newest["age"], newest["problem"]) == (40, "its file is damaged")
    assert (oldest["age"], oldest["problem"], oldest["tables"]) == (100, "", {"public.item": 2})
    assert store.overview("other", NOW) == []
