from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._http import Response
from ansible_collections.railiance.stack.plugins.module_utils._smoke import problems, run_checks

PAGE = Response(
    200,
    {"content-type": "text/html; charset=utf-8"},
    b"<html><head><title>\xc3\x9cbersicht | App</title><link rel='stylesheet' href='/static/a.1.css'>"
    b"<script src='/static/a.2.js'></script><script src='https://cdn.example/x.js'></script></head></html>",
)
CSS = Response(200, {"content-type": "text/css"}, b"a{}")
JS = Response(200, {"content-type": "text/javascript"}, b"1")


def site(answers: dict[str, Response]):
    def get(url: str, headers: dict[str, str]) -> Response:
        try:
            return answers[url]
        except KeyError:
            raise StackError(f"{url}: no answer.") from None

    return get


def test_a_page_with_its_assets_holds():
    get = site({"https://h/d/": PAGE, "https://h/static/a.1.css": CSS, "https://h/static/a.2.js": JS})
    outcomes = run_checks("https://h", [{"path": "/d/", "title": "Übersicht", "assets": True}], get)
    assert [(o.name, o.ok) for o in outcomes] == [
        ("GET https://h/d/", True),
        ("GET https://h/static/a.1.css", True),
        ("GET https://h/static/a.2.js", True),
    ]


def test_an_asset_answered_as_html_is_named():
    get = site({"https://h/d/": PAGE, "https://h/static/a.1.css": PAGE, "https://h/static/a.2.js": JS})
    outcomes = run_checks("https://h", [{"path": "/d/", "assets": True}], get)
    assert [o.detail for o in outcomes if not o.ok] == ["media type 'text/html', expected 'text/css'"]


def test_a_page_without_assets_does_not_pass_as_one_with():
    get = site({"https://h/": Response(200, {}, b"<title>x</title>")})
    outcomes = run_checks("https://h", [{"path": "/", "assets": True}], get)
    assert [o.ok for o in outcomes] == [True, False]


def test_no_answer_is_an_outcome():
    outcomes = run_checks("https://h", [{"path": "/health/"}], site({}))
    assert [(o.ok, o.detail) for o in outcomes] == [(False, "https://h/health/: no answer.")]


@pytest.mark.parametrize(
    ("response", "check", "expected"),
    [
        (Response(302, {"location": "https://h/a/?x=1"}), {"status": 302, "location": "/a/"}, []),
        (
            Response(302, {"location": "/b/"}),
            {"status": 302, "location": "/a/"},
            ["redirects to '/b/', expected '/a/'"],
        ),
        (Response(500), {}, ["status 500, expected 200"]),
        (PAGE, {"title": "Liste"}, ["title 'Übersicht | App', expected 'Liste'"]),
        (PAGE, {"content_type": "text/css"}, ["media type 'text/html', expected 'text/css'"]),
        (PAGE, {"contains": "<table"}, ["the body lacks '<table'"]),
        (PAGE, {"excludes": "<html>"}, ["the body has '<html>'"]),
    ],
)
def test_problems(response, check, expected):
    assert problems(response, check) == expected
