"""A visitor of a small site that guards its forms as Django does."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._http import Response
from ansible_collections.railiance.stack.plugins.module_utils._session import Page, visit

LOGIN = {"path": "/login/?next=/", "username_field": "username", "password_field": "password"}
RECORD = {
    "create": {"path": "/new/", "fields": {"title": "{mark}"}},
    "read": "{location}",
    "remove": {"path": "/item/{id}/delete/", "fields": {}},
}
LOGOUT = "<form method='post' action='/logout/'><input type='hidden' name='csrf' value='t0'></form>"


class Site:
    """``broken`` names what goes wrong: create, read, remove, kept."""

    def __init__(self, broken=""):
        self.broken = broken
        self.items: dict[int, str] = {}
        self.posts: list[tuple[str, dict[str, list[str]]]] = []

    def send(self, method, url, headers, body):
        path = urlsplit(url).path
        cookies = dict(part.split("=", 1) for part in headers.get("Cookie", "").split("; ") if part)
        if method == "GET":
            return self.page(path, cookies)
        form = parse_qs((body or b"").decode(), keep_blank_values=True)
        self.posts.append((path, form))
        forged = cookies.get("csrftoken") != "t1" or form.get("csrf") != ["t1"]
        if forged or headers["Origin"] != "https://h" or not headers["Referer"].startswith("https://h/"):
            return Response(403)
        return self.post(path, form, cookies)

    def page(self, path, cookies):
        guard = "<input type='hidden' name='csrf' value='t1'>"
        if path == "/login/":
            fields = "<input name='username'><input type='password' name='password'>"
            page = f"{LOGOUT}<form method='post'>{guard}{fields}</form>"
            return Response(200, {}, page.encode(), ("csrftoken=t1; Path=/; Secure", "flash=; Max-Age=0"))
        if cookies.get("sessionid") != "s1":
            return Response(302, {"location": f"/login/?next={path}"})
        if path == "/new/":
            fields = (
                "<input name='title'><textarea name='note'>as it was</textarea><input type='checkbox' name='urgent'>"
                "<select name='kind'><option value=''>-</option><option value='b' selected>b</option></select>"
                "<input type='submit' name='draft'>"
            )
            return Response(200, {}, f"{LOGOUT}<form method='post' action=''>{guard}{fields}</form>".encode())
        number = int(path.split("/")[2])
        if number not in self.items:
            return Response(404)
        if path.endswith("/delete/"):
            return Response(200, {}, f"{LOGOUT}<form method='post'>{guard}</form>".encode())
        return Response(200, {}, b"" if self.broken == "read" else f"<h1>{self.items[number]}</h1>".encode())

    def post(self, path, form, cookies):
        if path == "/login/":
            if (form["username"], form["password"]) != (["ann"], ["p&ss=ü"]):
                return Response(200, {}, b"<ul class='errorlist'><li>Please enter a correct login.</li></ul>")
            return Response(302, {"location": "/"}, b"", ("csrftoken=t1", "sessionid=s1; HttpOnly"))
        if path == "/new/":
            if self.broken == "create":
                return Response(200, {}, b"<ul class='errorlist'><li>This field is required.</li></ul>")
            self.items[41] = form["title"][0]
            return Response(302, {"location": "https://h/item/41/"})
        if self.broken == "remove":
            return Response(500)
        if self.broken != "kept":
            del self.items[41]
        return Response(302, {"location": "/"})


GOOD = ("ann", "p&ss=ü")


def outcomes(site, credentials=GOOD, record=RECORD):
    return visit("https://h", LOGIN, record, credentials, site.send)


def test_log_in_create_read_back_remove():
    site = Site()
    found = outcomes(site)
    assert [(one.name, one.ok) for one in found] == [
        ("log in at https://h/login/?next=/", True),
        ("create at /new/", True),
        ("read back at /item/41/", True),
        ("remove at /item/41/delete/", True),
        ("gone at /item/41/", True),
    ]
    assert site.items == {}
    mark = site.posts[1][1]["title"][0]
    assert mark.startswith("smoke-")
    assert site.posts[1] == ("/new/", {"csrf": ["t1"], "title": [mark], "note": ["as it was"], "kind": ["b"]})
    assert [path for path, form in site.posts] == ["/login/", "/new/", "/item/41/delete/"]


def test_without_a_record_only_the_login_is_tried():
    site = Site()
    assert [one.ok for one in outcomes(site, record=None)] == [True]
    assert [path for path, form in site.posts] == ["/login/"]


def test_a_refused_login_ends_the_visit_and_keeps_the_password_to_itself():
    [found] = outcomes(Site(), ("ann", "wrong-one"))
    assert found.detail == "status 200, expected a redirect; the page says: Please enter a correct login."


def test_a_form_that_is_not_taken():
    found = outcomes(Site("create"))
    assert [one.ok for one in found] == [True, False]
    assert found[-1].detail == "status 200, expected a redirect; the page says: This field is required."


def test_what_cannot_be_read_back_is_removed_all_the_same():
    site = Site("read")
    found = outcomes(site)
    assert [one.ok for one in found] == [True, True, False, True, True]
    assert found[2].detail.startswith("the page lacks 'smoke-")
    assert site.items == {}


def test_what_cannot_be_removed_is_named():
    site = Site("remove")
    found = outcomes(site)
    assert [one.ok for one in found] == [True, True, True, False]
    assert found[-1].detail == f"status 500, expected a redirect; remove '{site.items[41]}' at /item/41/ by hand"


def test_what_is_still_there_after_its_removal():
    site = Site("kept")
    assert outcomes(site)[-1].detail == f"status 200, and '{site.items[41]}' is still there"


LOGIN_FIELDS = "<input name=username><input name=password>"


@pytest.mark.parametrize(
    ("status", "location", "body", "detail"),
    [
        (302, "/setup/", "", "status 302 to /setup/, expected a page with a form"),
        (200, "", "<form><input name=username>", "the page has no form with the fields username, password"),
        (200, "", f"<form method=post action='https://sso/'>{LOGIN_FIELDS}", "the form goes to another site, sso"),
    ],
)
def test_a_page_that_is_no_login(status, location, body, detail):
    page = Response(status, {"location": location} if location else {}, body.encode())
    [found] = visit("https://h", LOGIN, None, ("ann", "x"), lambda *request: page)
    assert found.detail == detail


def test_a_login_that_leads_back_to_the_login():
    form = f"<form method=post>{LOGIN_FIELDS}</form>".encode()

    def send(method, url, headers, body):
        return Response(200, {}, form) if method == "GET" else Response(302, {"location": "/login/?next=/"})

    [found] = visit("https://h", LOGIN, None, ("ann", "x"), send)
    assert found.detail == "the site asks to log in again"


def test_no_answer_is_an_outcome():
    def send(method, url, headers, body):
        raise StackError("https://h cannot be reached: refused.")

    [found] = visit("https://h", LOGIN, None, ("ann", "x"), send)
    assert (found.ok, found.detail) == (False, "https://h cannot be reached: refused.")


def test_controls_that_a_browser_would_not_send():
    page = Page(
        "<form method=post><input type=radio name=r value=1><input type=radio name=r value=2 checked>"
        "<input type=file name=f><select multiple name=m><option value=1></select><select name=s><option value=x>"
        "<option value=y></select></form>"
    )
    assert page.forms[0].fields == {"r": "2", "s": "x"}
