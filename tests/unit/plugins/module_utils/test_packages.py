from __future__ import annotations

import json

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator
from ansible_collections.railiance.stack.plugins.module_utils._http import Response
from ansible_collections.railiance.stack.plugins.module_utils._packages import Packages, parse_time
from ansible_collections.railiance.stack.plugins.module_utils._registry import Login

BOT = Login("stack-bot", "secret", "a file")


class Api:
    """Gitea's packages API: ``answers`` by method and path; everything else is 404."""

    base_url = "https://forge.test"

    def __init__(self, **answers):
        self.answers = answers
        self.calls = []

    def request(self, method, path, *, headers=None, body=None):
        self.calls.append(f"{method} {path}")
        status, content = self.answers.get(f"{method} {path}", (404, None))
        return Response(status, {}, b"" if content is None else json.dumps(content).encode())


def entry(version, name="site"):
    return {"name": name, "version": version, "created_at": "2026-01-02T03:04:05Z", "html_url": f"https://x/{version}"}


def listing(owner, kind, entries, status=200):
    return {f"GET /api/v1/packages/{owner}?type={kind}&page=1&limit=50": (status, entries)}


def test_versions_come_with_their_blobs_and_digest():
    files = [{"name": "manifest.json", "sha256": "m", "size": 5}, {"name": "sha256_l", "sha256": "l", "size": 100}]
    api = Api(
        **listing("apps", "container", [entry("latest", "a/b")]),
        **{"GET /api/v1/packages/apps/container/a%2Fb/latest/files": (200, files)},
    )
    [version] = Packages(api, BOT).versions("apps", ["container"])
    assert (str(version), version.digest, version.size) == ("container apps/a/b:latest", "sha256:m", 105)
    assert version.created == parse_time("2026-01-02T04:04:05+01:00")


def test_a_wheel_has_no_digest():
    api = Api(
        **listing("apps", "pypi", [entry("1.0", "lib")]),
        **{"GET /api/v1/packages/apps/pypi/lib/1.0/files": (200, [{"name": "lib.whl", "sha256": "w", "size": 7}])},
    )
    [version] = Packages(api, BOT).versions("apps", ["pypi"])
    assert (str(version), version.digest, version.blobs) == ("pypi apps/lib 1.0", "", {"w": 7})


def test_an_owner_that_is_unknown_and_one_that_may_not_be_read():
    with pytest.raises(NeedsOperator, match="has no owner apps of packages that account stack-bot sees"):
        Packages(Api(), BOT).versions("apps")
    api = Api(**listing("apps", "container", None, 403))
    with pytest.raises(NeedsOperator, match="may not read the packages of apps"):
        Packages(api, BOT).versions("apps")


def test_deleting_what_is_gone_is_fine_and_a_refusal_names_the_page():
    api = Api(
        **listing("apps", "container", [entry("sha256:1")]),
        **{"GET /api/v1/packages/apps/container/site/sha256%3A1/files": (404, None)},
    )
    packages = Packages(api, BOT)
    [version] = packages.versions("apps", ["container"])
    packages.delete(version)
    assert api.calls[-1] == "DELETE /api/v1/packages/apps/container/site/sha256%3A1"
    api.answers[api.calls[-1]] = (403, None)
    with pytest.raises(NeedsOperator, match="may not delete container apps/site@sha256:1"):
        packages.delete(version)


def test_the_time_of_the_clean_up_is_the_administrator_s_to_know():
    path = "GET /api/v1/admin/cron?limit=50"
    tasks = [{"name": "cleanup_packages", "schedule": "@midnight", "next": "2026-01-03T00:00:00Z"}]
    assert Packages(Api(**{path: (200, tasks)}), BOT).cleanup_task().next_run == parse_time("2026-01-03T00:00:00Z")
    assert Packages(Api(**{path: (403, None)}), BOT).cleanup_task().next_run is None
    with pytest.raises(NeedsOperator, match="may not start Gitea's task cleanup_packages"):
        Packages(Api(**{"POST /api/v1/admin/cron/cleanup_packages": (403, None)}), BOT).run_cleanup()
