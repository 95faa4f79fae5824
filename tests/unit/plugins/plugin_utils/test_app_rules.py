from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.railiance.stack.plugins.plugin_utils._app_rules import app_rules

MOVE = "Move it to secret_environment or the encrypted file."
LOGIN = {"path": "/login/", "secret": "smoke"}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            {"environment": {"DEBUG": True}},
            "environment.DEBUG: is on. No application is released with it; remove it.",
        ),
        (
            {"config": {"environment": {"DJANGO_DEBUG": "True"}}},
            "config.environment.DJANGO_DEBUG: is on. No application is released with it; remove it.",
        ),
        (
            {"config": {"environment": {"API_TOKEN": "canary"}}},
            f"config.environment.API_TOKEN: looks like a secret. {MOVE}",
        ),
        (
            {"environment": {"CACHE": "redis://:canary@valkey:6379/0"}},
            f"environment.CACHE: looks like a secret. {MOVE}",
        ),
        (
            {"config": {"files": {"app.ini": "[mail]\nuser = a\nsmtp-password = canary-canary\n"}}},
            "config.files.app.ini: line 3 looks like a secret. Give it as secret_environment and read it from there.",
        ),
        (
            {"private": True, "smoke_login": LOGIN},
            "smoke_login: is done from outside, and the application is private. Remove it.",
        ),
        ({"smoke_record": {"create": {}}}, "smoke_record: nobody is logged in to make the record. Give smoke_login."),
        (
            {"log_ignore": ["fine", "(harmless"]},
            "log_ignore[1]: is no regular expression: missing ), unterminated subpattern at position 0. Correct it.",
        ),
    ],
)
def test_every_broken_rule_is_named_without_its_value(entry: dict[str, Any], expected: str):
    found = app_rules(entry)
    assert found == [expected]
    assert "canary" not in expected


@pytest.mark.parametrize(
    "line",
    [
        "password: canary-canary",
        'api_key = "canary-canary"',
        "export SMTP_PASSWORD='canary-canary'",
        "url: postgresql://shop:canary@db/shop",
        "-----BEGIN RSA PRIVATE KEY-----",
    ],
)
def test_a_line_of_a_file_that_is_an_obvious_secret(line: str):
    assert len(app_rules({"config": {"files": {"f": line}}})) == 1


@pytest.mark.parametrize(
    "line",
    ["password: ${SMTP_PASSWORD}", "private_key: /etc/tls/key.pem", "max_token: 4096", "token_url: https://sso/token"],
)
def test_a_line_of_a_file_that_only_refers_to_one(line: str):
    assert app_rules({"config": {"files": {"f": line}}}) == []


def test_an_entry_in_order_breaks_no_rule():
    entry = {
        "environment": {"DEBUG": "false", "TIME_ZONE": "Europe/Berlin"},
        "config": {"environment": {"HUB": "/etc/app/hub.toml"}, "files": {"hub.toml": 'title = "State Hub"'}},
        "smoke_login": LOGIN,
        "smoke_record": {"create": {}},
        "log_patterns": ["ERROR"],
    }
    assert app_rules(entry) == []
    # What has a wrong type is named by the argument spec.
    assert app_rules({"config": "x", "environment": ["y"], "log_ignore": "z"}) == []
