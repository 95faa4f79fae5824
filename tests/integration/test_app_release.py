"""What was released, read back from the cluster, without a secret in it."""

from __future__ import annotations

import base64
import gzip
import json
import re

APP = "vergabe-teilnahme"


def test_the_history_names_commit_image_and_schema(task):
    known = task("release_info", history_of=APP)
    newest = known["history"][0]
    assert newest["complete"], newest
    assert re.fullmatch(r"[0-9a-f]{40}", newest["commit"])
    assert re.fullmatch(r"gitea\.lab\.test/apps/vergabe-teilnahme@sha256:[0-9a-f]{64}", newest["image"])
    assert newest["schema"]["ausschreibungen"].startswith("0004_")
    assert newest["commit"][:12] in newest["description"]
    assert {"name": APP, "namespace": APP} in known["orphans"], "without entries everything released is an orphan"


def test_no_secret_is_in_a_release(kubectl):
    """The values of the application's Secrets are nowhere in what Helm keeps: labels, values, manifests."""
    secrets = kubectl(f"-n {APP} get secret {APP}-env {APP}-db -o json")["items"]
    hidden = [secret["data"][key] for secret in secrets for key in ("SECRET_KEY", "password") if key in secret["data"]]
    assert len(hidden) == 2
    releases = kubectl(f"-n {APP} get secret -l owner=helm -o json")["items"]
    assert releases
    for release in releases:
        kept = gzip.decompress(base64.b64decode(base64.b64decode(release["data"]["release"]))).decode()
        told = kept + json.dumps(release["metadata"])
        assert [value for value in hidden if value in told or base64.b64decode(value).decode() in told] == []


def test_an_image_that_nobody_has_stops_a_promotion(playbook, task, kubectl):
    before = task("release_info", history_of=APP)["history"][0]
    absent = f"{before['image'].partition('@')[0]}@sha256:{'0' * 64}"
    run = playbook("playbooks/promote.yml", "-e", f"app={APP}", "-e", f"image={absent}")
    assert run.rc != 0
    assert "not found" in run.messages[0]
    assert "is undefined" not in run.output
    assert task("release_info", history_of=APP)["history"][0] == before
    jobs = kubectl(f"get jobs -n {APP} -o json")["items"]
    assert [one["metadata"]["name"] for one in jobs if "ownerReferences" not in one["metadata"]] == []
