from __future__ import annotations

import re
import string
from urllib.parse import unquote, urlsplit

import dj_database_url
import psycopg
import pytest
import sqlalchemy
from ansible_collections.railiance.stack.plugins.module_utils._dsn import (
    check_identifier,
    database_url,
    generate_password,
)
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError

PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F))
#: Every character alone, doubled, and all of them at once; then what once broke a parser.
PASSWORDS = [*PRINTABLE, *(2 * char for char in PRINTABLE), PRINTABLE, "a+b/c==", "%41", "@/:?#[]", "pass word"]


def read_by_urllib(url):
    parts = urlsplit(url)
    return unquote(parts.username), unquote(parts.password), parts.hostname, parts.port, unquote(parts.path[1:])


def read_by_libpq(url):
    read = psycopg.conninfo.conninfo_to_dict(url)
    return read["user"], read["password"], read["host"], int(read["port"]), read["dbname"]


def read_by_dj_database_url(url):
    read = dj_database_url.parse(url)
    return read["USER"], read["PASSWORD"], read["HOST"], int(read["PORT"]), read["NAME"]


def read_by_sqlalchemy(url):
    read = sqlalchemy.make_url(url)
    return read.username, read.password, read.host, read.port, read.database


@pytest.mark.parametrize("reader", [read_by_urllib, read_by_libpq, read_by_dj_database_url, read_by_sqlalchemy])
def test_every_reader_gives_every_password_back(reader):
    wrong = [
        password
        for password in PASSWORDS
        if reader(database_url("app_role", password, "apps-pg-rw.databases", 5432, "app-db_1"))
        != ("app_role", password, "apps-pg-rw.databases", 5432, "app-db_1")
    ]
    assert wrong == []


def test_the_address_is_readable():
    assert (
        database_url("app", "a/b=", "db-rw.databases", 5432, "app")
        == "postgresql://app:a%2Fb%3D@db-rw.databases:5432/app"
    )


def test_passwords_are_long_and_different_and_need_no_quoting():
    passwords = {generate_password() for _ in range(50)}
    assert len(passwords) == 50
    assert all(re.fullmatch(f"[{string.ascii_letters}{string.digits}]{{40}}", password) for password in passwords)


@pytest.mark.parametrize("name", ["", "1app", "a b", "a'b", "a;b", "ä", "a" * 64, 'a"b', "a/b"])
def test_names_that_some_reader_would_change_are_refused(name):
    with pytest.raises(StackError) as caught:
        check_identifier("The database name", name)
    assert str(caught.value) == (
        f"The database name {name!r} is not usable. Use at most 63 letters, digits, underscores and hyphens, "
        "beginning with a letter or an underscore."
    )


@pytest.mark.parametrize("name", ["app", "_app", "vergabe_teilnahme", "App-2", "a" * 63])
def test_ordinary_names_are_taken(name):
    check_identifier("The database name", name)
