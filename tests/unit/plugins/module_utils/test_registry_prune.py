from __future__ import annotations

import datetime
import json

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._packages import CleanupTask, Version, unique_bytes
from ansible_collections.railiance.stack.plugins.module_utils._registry_info import (
    Limits,
    alerts,
    growth,
    look_at_storage,
    packages,
    totals,
)
from ansible_collections.railiance.stack.plugins.module_utils._registry_prune import (
    Needed,
    Rules,
    in_order,
    is_release,
    judge,
    needed_images,
    parse_duration,
    space,
    split_image,
    table,
)
from unit.fake_helm import stored_release
from unit.fakes import FakeKube

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
HOST = "forge.test"


def version(tag, days=10.0, *, digest="", name="site", kind="container", children=(), blobs=None):
    digest = digest or (tag if tag.startswith("sha256:") else f"sha256:{tag}")
    return Version(
        "apps",
        kind,
        name,
        tag,
        NOW - datetime.timedelta(days=days),
        digest=digest if kind == "container" else "",
        blobs={tag: 100} if blobs is None else blobs,
        children=children,
    )


def commit(number, days=None):
    return version(f"{number:07x}", days if days is not None else 40 - number)


def gone(versions, needed=(), **rules):
    return [v.version for v in in_order(judge(versions, needed, Rules(**rules), NOW))]


def running(tag="", digest="", by="Pod a/b", runs=True):
    return Needed("apps/site", tag, digest, by, runs)


# -- what stays ----------------------------------------------------------------------------------------------------
def test_the_newest_releases_stay():
    assert gone([commit(n) for n in range(1, 6)], releases=3) == ["0000001", "0000002"]


def test_what_runs_stays_with_the_releases_before_it():
    versions = [commit(n) for n in range(1, 9)]
    kept = [running(digest="sha256:0000004")]
    assert gone(versions, kept, releases=3) == ["0000001", "0000005"]
    reasons = {v.version.version: v.reasons for v in judge(versions, kept, Rules(releases=3), NOW)}
    assert reasons["0000004"] == ["runs: Pod a/b"]
    assert reasons["0000003"] == ["is one of the 2 releases before 0000004"]


def test_what_only_ran_stays_without_those_before_it():
    kept = [running(tag="0000004", by="Helm release a/a, revision 3", runs=False)]
    assert gone([commit(n) for n in range(1, 9)], kept, releases=3) == ["0000001", "0000002", "0000003", "0000005"]


def test_every_tag_of_a_running_digest_stays():
    versions = [version("smoke-1", digest="sha256:x"), version("smoke-2"), commit(1)]
    assert gone(versions, [running(digest="sha256:x")]) == ["smoke-2"]


def test_young_and_kept_tags_stay_and_superseded_ones_go():
    versions = [version("smoke-1", 1), version("smoke-2", 3), version("latest"), version("keep-me")]
    assert gone(versions, tags=("latest", "keep-*")) == ["smoke-2"]


def test_children_stay_with_their_index_and_go_after_it():
    children = ("sha256:c1", "sha256:c2")
    versions = [
        version("sha256:c1"),
        version("sha256:c2"),
        version("sha256:c3"),
        version("1.0.0", children=children),
        version("smoke", children=("sha256:c3",)),
    ]
    assert gone(versions, releases=1) == ["smoke", "sha256:c3"]
    assert gone(versions, releases=0) == ["1.0.0", "smoke", "sha256:c1", "sha256:c2", "sha256:c3"]


def test_a_child_is_kept_by_any_index_that_stays():
    versions = [version("sha256:c1"), version("old", children=("sha256:c1",)), version("2.0", children=("sha256:c1",))]
    assert gone(versions, releases=1) == ["old"]


def test_wheels_keep_their_newest_versions_and_other_packages_are_left_alone():
    wheels = [version(f"1.{n}", 40 - n, kind="pypi", name="lib") for n in range(4)]
    assert gone(wheels, wheels=2) == ["1.0", "1.1"]
    assert gone(wheels, wheels=2, names=("site",)) == []


def test_packages_do_not_count_for_each_other():
    versions = [commit(1), version("0000002", name="other")]
    assert gone(versions, releases=1) == []


@pytest.mark.parametrize(
    ("tag", "release"),
    [
        ("0d1c5f7", True),
        ("v1.2.3", True),
        ("1.0-rc1", True),
        ("latest", False),
        ("smoke-1", False),
        ("sha256:a", False),
    ],
)
def test_releases(tag, release):
    assert is_release(version(tag)) is release


# -- what the cluster needs ------------------------------------------------------------------------------------------
def pod_spec(image):
    return {"containers": [{"name": "a", "image": image}]}


def workload(kind, name, image, **spec):
    api = "batch/v1" if kind in ("Job", "CronJob") else "apps/v1"
    template = {"template": {"spec": pod_spec(image)}}
    body = {"jobTemplate": {"spec": template}} if kind == "CronJob" else template
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "ns"}, "spec": {**body, **spec}}


def helm(name, revision, image):
    return stored_release(name, revision, json.dumps(workload("Deployment", name, image)), namespace="ns")


def test_everything_that_names_an_image_of_this_registry_is_seen():
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "ns"},
        "spec": {**pod_spec("docker.io/library/x:1"), "initContainers": [{"image": f"{HOST}/apps/init"}]},
        "status": {"containerStatuses": [{"imageID": f"{HOST}/apps/site@sha256:1"}]},
    }
    kube = FakeKube(
        pod,
        workload("Deployment", "d", f"{HOST}/apps/site:now@sha256:2"),
        workload("ReplicaSet", "old", f"{HOST}/apps/site@sha256:3", replicas=0),
        workload("CronJob", "c", f"{HOST}/Apps/Cron:TAG"),
        *(helm("site", n, f"{HOST}/apps/site@sha256:h{n}") for n in (1, 2, 3)),
    )
    found = {(n.repository, n.tag, n.digest, n.by, n.runs) for n in needed_images(kube, HOST, 2)}
    assert found == {
        ("apps/init", "latest", "", "Pod ns/p", True),
        ("apps/site", "", "sha256:1", "Pod ns/p", True),
        ("apps/site", "now", "sha256:2", "Deployment ns/d", True),
        ("apps/site", "", "sha256:3", "ReplicaSet ns/old", False),
        ("apps/cron", "tag", "", "CronJob ns/c", True),
        ("apps/site", "", "sha256:h3", "Helm release ns/site, revision 3", False),
        ("apps/site", "", "sha256:h2", "Helm release ns/site, revision 2", False),
    }
    assert kube.writes == []


def test_split_image():
    assert split_image(f"docker-pullable://{HOST}/a/b@sha256:1", HOST) == ("a/b", "", "sha256:1")
    assert split_image("forge.test.evil/a/b:1", HOST) == ("", "", "")


# -- space ----------------------------------------------------------------------------------------------------------
def test_space_counts_what_only_the_deleted_held():
    shared = {"base": 1000, "a": 10}
    verdicts = judge([version("smoke", blobs=shared), version("latest", blobs={"base": 1000})], [], Rules(), NOW)
    told = space(verdicts, CleanupTask("@midnight", NOW + datetime.timedelta(hours=12)), parse_duration("24h"), NOW)
    assert told["bytes"] == 10
    assert told["text"] == (
        "0.0 MB are free once Gitea's task cleanup_packages (@midnight) has run after 2026-03-01 12:00 UTC; "
        "its next run is 2026-03-02 00:00 UTC."
    )


def test_space_that_cannot_be_free_at_the_next_run():
    verdicts = judge([version("smoke", 0.5)], [], Rules(youngest=datetime.timedelta()), NOW)
    told = space(verdicts, CleanupTask("@midnight", NOW + datetime.timedelta(hours=1)), parse_duration("24h"), NOW)
    assert told["after"] == "2026-03-02T00:00:00+00:00"
    assert told["text"].endswith("its next run is 2026-03-01 13:00 UTC, too early for all of it.")


def test_space_of_nothing():
    assert space([], CleanupTask(), parse_duration("24h"), NOW)["text"] == "Everything is needed."
    same = {"x": 1}
    verdicts = judge([version("a-1", blobs=same), version("latest", blobs=same)], [], Rules(), NOW)
    assert space(verdicts, CleanupTask(), parse_duration("24h"), NOW)["text"] == (
        "Nothing is freed: versions that stay consist of the same."
    )


def test_durations_are_gitea_s():
    assert parse_duration("1h30m") == datetime.timedelta(minutes=90)
    for wrong in ("1d", "", "24"):
        with pytest.raises(StackError, match="is no duration"):
            parse_duration(wrong)


def test_the_table_lists_first_what_goes():
    lines = table(judge([version("latest"), version("smoke")], [], Rules(), NOW))
    assert lines == [
        "delete  container apps/site:smoke        0.0 MB",
        "keep    container apps/site:latest       0.0 MB  tag latest is kept",
    ]


# -- what it holds -------------------------------------------------------------------------------------------------
def test_info_counts_shared_blobs_once():
    versions = [
        version("latest", 1.5, blobs={"base": 1000, "a": 10}),
        version("old", 20, blobs={"base": 1000, "b": 5}),
        version("1.0", 40, kind="pypi", name="lib", blobs={"w": 7}),
    ]
    assert totals(versions) == {"packages": 2, "versions": 3, "size": 1022, "shared": 1000}
    assert growth(versions, NOW) == {
        "1d": {"versions": 0, "size": 0},
        "7d": {"versions": 1, "size": 10},
        "30d": {"versions": 2, "size": 1015},
    }
    listed = packages(versions)
    assert [(p["type"], p["name"], p["size"]) for p in listed] == [("container", "site", 1015), ("pypi", "lib", 7)]
    assert [v["version"] for v in listed[0]["versions"]] == ["latest", "old"]
    assert unique_bytes([]) == 0


class Pod:
    def __init__(self, stdout, rc=0):
        self.answer = type("Done", (), {"rc": rc, "stdout": stdout, "stderr": ""})

    def run(self, command):
        return self.answer


def test_where_the_bytes_lie():
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "gitea", "namespace": "gitea"},
        "spec": {
            "template": {
                "spec": {
                    "containers": [
                        {
                            "volumeMounts": [
                                {"name": "tmp", "mountPath": "/"},
                                {"name": "data", "mountPath": "/var/lib/gitea"},
                            ]
                        }
                    ],
                    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "gitea-data"}}],
                }
            }
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "gitea-data", "namespace": "gitea"},
        "spec": {"volumeName": "pvc-1"},
    }
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "pvc-1"},
        "spec": {"hostPath": {"path": "/srv/pvc-1"}},
    }
    said = "/var/lib/gitea/data/packages\n2048\n12\n/dev/vda 1000 900 100 90% /var/lib/gitea\n"
    found = look_at_storage(FakeKube(deployment, claim, volume), Pod(said), "gitea", "gitea")
    assert found == {
        "path": "/var/lib/gitea/data/packages",
        "size": 2048 * 1024,
        "files": 12,
        "disk_size": 1000 * 1024,
        "disk_free": 100 * 1024,
        "claim": "gitea/gitea-data",
        "volume": "pvc-1",
        "node_path": "/srv/pvc-1",
    }
    assert look_at_storage(FakeKube(), Pod(""), "gitea", "gitea") == {}


def test_alerts_name_the_limit_that_is_passed():
    mb = 1024**2
    result = {
        "totals": {"size": 5 * mb},
        "growth": {"7d": {"size": 3 * mb}},
        "storage": {"path": "/p", "size": 9 * mb, "disk_size": 100 * mb, "disk_free": 5 * mb},
    }
    assert alerts(result, Limits()) == []
    assert alerts(result, Limits(9, 3, 5)) == []
    assert alerts(result, Limits(8, 2, 6)) == [
        "The registry holds 9 MB, more than 8 MB: prune it with the playbook registry_prune.",
        "The registry grew by 3 MB in 7 days, more than 2 MB: prune more often, or keep fewer releases.",
        "The disk of /p has 5 % free, less than 6 %: prune the registry, or give its volume more space.",
    ]
