"""gitea_image_push, gitea_registry_info and gitea_registry_prune against a real Gitea over TLS, one of their own.

Each outcome is foretold, done and repeated; the access log of Gitea says what was asked of it, and skopeo, with
requests of its own, what is there. What takes longer is in tests/campaigns/test_registry.py.
"""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from forge import NODE_CA, PRIVATE, PUBLIC, running_forge, sha256

COMMITS = [f"{number:07x}" + "0d1c5f7a9f3b2e64c8d7a6b5e4f302918" for number in range(1, 7)]
MACHINES = ("amd64", "arm64")


@pytest.fixture(scope="module")
def forge(lab, node, kubectl):
    with running_forge(lab, node, kubectl, "reg-it") as running:
        yield running
        running.remove_image(*(f"reg-it/{n}:1" for n in ("one", "two", "bad")))


@pytest.fixture(scope="module")
def push(task, forge):
    def run(tags, source=None, *, repository=f"{PRIVATE}/site", token="writer", check=False, **options):  # noqa: S107  a file's name
        arguments = {
            "registry": forge.host,
            "repository": repository,
            "tags": tags,
            "token_file": f"{forge.folder}/token-{token}",
            "ca_file": NODE_CA,
            **({"source": source} if source else {}),
            **options,
        }
        return task("gitea_image_push", check=check, **arguments)

    return run


@pytest.fixture(scope="module")
def one(forge):
    return forge.image("reg-it/one:1", 3_000_000, 200_000)


@pytest.fixture(scope="module")
def two(forge):
    return forge.image("reg-it/two:1", 3_000_000, 300_000, seed="reg-it/one:1")


def methods(requests):
    return {request.split()[0] for request in requests}


def three_times(forge, run, *, changes=True):
    """Foretold, done, repeated; the prediction asks with GET and HEAD alone."""
    with forge.noted() as asked:
        foretold = run(check=True)
    done, again = run(), run()
    assert not [answer["msg"] for answer in (foretold, done, again) if answer.get("failed")]
    assert methods(asked) == {"GET"}, asked
    assert [foretold["changed"], done["changed"], again["changed"]] == [changes, changes, False], (foretold, done)
    assert (foretold["plan"], again["plan"]) == (done["plan"], [])
    return done


# -- what happens to tags ------------------------------------------------------------------------------------------
def test_a_new_image_under_two_tags(forge, push, one):
    done = three_times(forge, lambda **how: push([COMMITS[0], "latest"], one, **how))
    assert done["tags"] == {COMMITS[0]: "created", "latest": "created"}
    assert done["bytes_sent"] > 3_200_000
    assert forge.digest(f"{PRIVATE}/site:{COMMITS[0]}", "writer") == done["digest"]
    assert forge.digest(f"{PRIVATE}/site:latest", "writer") == done["digest"]
    assert done["page"] == f"https://{forge.host}/{PRIVATE}/-/packages/container/site/{COMMITS[0]}"
    assert forge.versions(PRIVATE, "site") == sorted([COMMITS[0], "latest"])


def test_an_unchanged_tag_costs_four_requests_at_most_and_no_write(forge, push, one):
    before = forge.digest(f"{PRIVATE}/site:{COMMITS[0]}", "writer")
    with forge.noted() as asked:
        answer = push([COMMITS[0]], one)
    assert (answer["changed"], answer["requests"], answer["bytes_sent"]) == (False, len(asked), 0)
    assert len(asked) <= 4, asked
    assert methods(asked) == {"GET"}, asked
    with forge.noted() as asked:
        three_times(forge, lambda **how: push([COMMITS[0], "latest"], one, **how), changes=False)
    assert methods(asked) == {"GET"}, asked
    assert forge.digest(f"{PRIVATE}/site:{COMMITS[0]}", "writer") == answer["digest"] == before


def test_content_that_is_there_is_tagged_by_one_manifest(forge, push, one):
    with forge.noted() as asked:
        done = three_times(forge, lambda **how: push([COMMITS[0], "stable"], one, **how))
    assert done["tags"] == {COMMITS[0]: "unchanged", "stable": "created"}
    assert done["bytes_sent"] < 2_000
    writes = [line for line in asked if line.split()[0] not in ("GET", "HEAD")]
    assert writes == [f"PUT /v2/{PRIVATE}/site/manifests/stable 201"]
    assert forge.digest(f"{PRIVATE}/site:stable", "writer") == done["digest"]


def test_a_changed_top_layer_moves_latest_and_sends_no_base(forge, push, two):
    done = three_times(forge, lambda **how: push([COMMITS[1], "latest"], two, **how))
    assert done["tags"] == {COMMITS[1]: "created", "latest": "moved"}
    assert 300_000 < done["bytes_sent"] < 400_000
    assert forge.digest(f"{PRIVATE}/site:latest", "writer") == done["digest"]


def test_a_commit_s_tag_keeps_its_content_unless_told_otherwise(forge, push, node, one, two):
    name = f"{PRIVATE}/site:{COMMITS[0]}"
    before = forge.digest(name, "writer")
    old, new = (node(f"sudo skopeo inspect --raw --config {image} | sha256sum").split()[0] for image in (one, two))
    with forge.noted() as asked:
        refused = [push([COMMITS[0]], two, check=True), push([COMMITS[0]], two), push([COMMITS[0]], two)]
    assert {answer["msg"] for answer in refused} == {
        f"{forge.host}/{name} names other content already: sha256:{old[:12]}, not sha256:{new[:12]}."
        " A commit's image does not change. Push under another tag, or give replace: true if it shall."
    }
    assert methods(asked) == {"GET"}
    assert forge.digest(name, "writer") == before
    done = three_times(forge, lambda **how: push([COMMITS[0]], two, replace=True, **how))
    assert done["tags"] == {COMMITS[0]: "replaced"}
    assert forge.digest(name, "writer") == done["digest"] != before


# -- what is asked of an image -------------------------------------------------------------------------------------
def test_an_image_with_secrets_is_not_sent(forge, push):
    settings = "USER root\nENV API_TOKEN=abc"
    files = ("app/.env=SECRET_KEY=abc\n", "root/.netrc=machine x.test login u password p\n")
    bad = forge.image("reg-it/bad:1", *files, settings=settings)
    with forge.noted() as asked:
        refused = push(["bad"], bad)
    assert refused["msg"].startswith(f"The image {bad} does not keep the contract: ")
    found = {(finding["name"], finding["severity"], finding["detail"]) for finding in refused["findings"]}
    assert found == {
        ("secret-environment", "fatal", "its variable API_TOKEN has a value"),
        ("secret-file", "fatal", "/app/.env in layer 1"),
        ("index-credential", "fatal", "/root/.netrc in layer 2"),
        ("root-user", "advice", "it runs as root"),
        ("no-port", "advice", "it exposes no port"),
        ("no-health-check", "advice", "it declares no health check"),
    }
    assert methods(asked) == {"GET"}
    assert "abc" not in str(refused)
    grave = push(["bad"], bad, contract={"findings": dict.fromkeys([n for n, _s, _d in found], "ignore")}, check=True)
    assert (grave["changed"], grave["findings"]) == (True, [])


# -- the cluster pulls ---------------------------------------------------------------------------------------------
def test_the_pull_secret_is_used_only_where_it_is_needed(forge, push, kubectl, two):
    proof = {"namespace": forge.namespace, "when": "always"}
    closed = push([COMMITS[1]], two, pull_proof=proof)["pull_proof"]
    opened = push([COMMITS[1]], two, repository=f"{PUBLIC}/site", pull_proof=proof)["pull_proof"]
    assert (closed["pulled"], closed["pull_secret"]) == (True, "gitea-pull")
    assert (opened["pulled"], opened["pull_secret"]) == (True, "")
    refused = push([COMMITS[1]], two, pull_proof={**proof, "pull_secret": "none"})
    assert "may not be pulled anonymously, and Secret reg-it/none is missing" in refused["msg"]
    assert kubectl(f"get pods -n {forge.namespace} -l railiance.io/purpose=pull-proof -o json")["items"] == []


# -- faults ----------------------------------------------------------------------------------------------------------
def test_permission_is_found_out_before_anything_is_sent(forge, push, one):
    forge.token("reader", "read:package")
    forge.token("elsewhere", "read:user")
    forge.token("gone", "write:package")
    forge.revoke("gone")
    mint = f"https://{forge.host}/user/settings/applications"
    again = (
        "Run role railiance.stack.git_access with git_access_register for a new one, or mint one with the scope"
        f" write:package at {mint}"
    )
    expected = {
        "gone": f"{forge.host} refuses the token of account reg-bot ({forge.folder}/token-gone): it has expired or was"
        f" revoked. {again}",
        "elsewhere": f"{forge.host} refuses the token of account reg-bot ({forge.folder}/token-elsewhere): it lacks the"
        f" scope for packages. {again}",
        "reader": f"Account reg-bot ({forge.folder}/token-reader) may not push to {forge.host}/{PRIVATE}/site. The"
        f" token needs the scope write:package, and the account write permission in {PRIVATE}. Mint one at {mint}",
    }
    with forge.noted() as asked:
        said = {token: push(["fade123"], one, token=token) for token in expected}
        nobody = push(["fade123"], one, repository="nobody/site")
    assert {token: answer["msg"] for token, answer in said.items()} == expected
    assert nobody["msg"] == (
        f"{forge.host} has no owner nobody of images. Create the organisation, or name an existing one as first part of"
        " repository."
    )
    assert all(answer["needs_operator"] for answer in [*said.values(), nobody])
    assert methods(asked) == {"GET"}


def test_a_name_that_does_not_resolve_and_a_chain_that_is_not_trusted(forge, task, one):
    common = {"repository": f"{PRIVATE}/site", "tags": ["x"], "source": one}
    common["token_file"] = f"{forge.folder}/token-writer"
    lost = task("gitea_image_push", registry="forge.no-such-name.test", **common)
    assert lost["msg"] == (
        "The name forge.no-such-name.test cannot be resolved (Name or service not known). Create its DNS record, or"
        " give the server's address in the option address."
    )
    untrusted = task("gitea_image_push", registry=forge.host, **common)
    assert untrusted["msg"].startswith(
        f"https://{forge.host} shows a certificate that is not trusted here: unable to get"
    )
    wrong_name = task(
        "gitea_image_push", registry="other.no-such-name.test", address=forge.address, ca_file=NODE_CA, **common
    )
    assert "shows a certificate that is not trusted here" in wrong_name["msg"]


# -- what it holds, and what goes ------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def registry(task, forge):
    def run(module, *, check=False, **options):
        return task(
            module,
            check=check,
            registry=forge.host,
            owners=[PUBLIC],
            token_secret={"namespace": forge.namespace, "name": "gitea-bot-token"},
            ca_file=NODE_CA,
            namespace=forge.namespace,
            **options,
        )

    return run


@contextlib.contextmanager
def pod(forge, *images):
    """One pod with a container for each image, which the node asks the registry for; yields what it got."""
    containers = [
        {"name": f"c{number}", "image": image, "imagePullPolicy": "Always", "command": ["/nothing"]}
        for number, image in enumerate(images)
    ]
    name = {"name": "needs", "namespace": forge.namespace}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": containers}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": name, "spec": spec}
    forge.node("sudo k3s kubectl apply -f -", json.dumps(manifest).encode())

    def pulled():
        status = forge.kubectl(f"get pod needs -n {forge.namespace} -o json")["status"]
        return {one["imageID"] for one in status.get("containerStatuses") or []}

    try:
        deadline = time.monotonic() + 60
        while "" in (got := pulled()) or not got:
            assert time.monotonic() < deadline, got
        yield got
    finally:
        forge.kubectl(f"delete pod needs -n {forge.namespace} --wait")


def test_what_is_left_after_a_prune_is_pulled_again(forge, registry, node):
    """What runs, the two releases before it, and both manifests of an index; with nothing of them on the node."""
    repository = f"{PUBLIC}/pruned"
    name = f"{forge.host}/{repository}"
    digests = {commit: forge.publish(repository, commit, f"content of {commit}") for commit in COMMITS}
    forge.publish(repository, "smoke-1", "of a smoke test")
    old = {machine: forge.publish(repository, "", f"old {machine}", architecture=machine) for machine in MACHINES}
    forge.publish_index(repository, "nightly", old)
    children = {machine: forge.publish(repository, "", f"for {machine}", architecture=machine) for machine in MACHINES}
    digests["1.0.0"] = forge.publish_index(repository, "1.0.0", children)
    info = registry("gitea_registry_info", storage_path="/packages/blobs")
    [package] = [p for p in info["packages"] if p["name"] == "pruned"]
    [index] = [v for v in package["versions"] if v["version"] == "1.0.0"]
    assert (index["digest"], sorted(index["children"])) == (digests["1.0.0"], sorted(children.values()))
    assert info["storage"]["size"] >= info["totals"]["size"] > 0
    assert info["storage"]["node_path"] == f"{forge.folder}/packages"

    running = COMMITS[3]
    options = {"names": ["pruned"], "min_age_hours": 0, "keep_releases": 3, "clean_up": True}
    before = forge.disk_used()
    with pod(forge, f"{name}@{digests[running]}"):
        done = three_times(forge, lambda **how: registry("gitea_registry_prune", **options, **how))
    # The newest three are the index and two commits; what runs is older, and keeps two before it.
    left = {*COMMITS[1:], "1.0.0", *children.values()}
    assert set(forge.versions(PUBLIC, "pruned")) == left
    assert {v["version"] for v in done["removed"]} == {COMMITS[0], "smoke-1", "nightly", *old.values()}
    assert "MB are free once Gitea's task cleanup_packages" in done["space"]["text"]
    deadline = time.monotonic() + 30
    while (after := forge.disk_used()) > before - done["space"]["bytes"]:
        assert time.monotonic() < deadline, (before, after, done["space"])

    forge.uncache()
    assert not {*digests.values(), *children.values()} & forge.cached()
    again = {f"{name}@{digests[commit]}" for commit in COMMITS[1:4]}
    with pod(forge, *sorted(again)) as pulled:
        assert pulled == again
    hosts = forge.containerd.rpartition("/")[0]
    node(f"sudo k3s ctr -n k8s.io images pull --all-platforms --hosts-dir {hosts} {name}@{digests['1.0.0']}")
    assert {digests["1.0.0"], *children.values()} <= forge.cached()
    forge.uncache()


def test_wheels_are_listed_and_the_oldest_go(forge, registry, playbook):
    wheels = {
        version: forge.publish_wheel(PUBLIC, "reg_wheel", version, b"x = 1\n" * size)
        for version, size in (("1.0", 100), ("1.1", 200), ("1.2", 300))
    }
    info = registry("gitea_registry_info", types=["pypi"])
    [package] = info["packages"]
    assert (package["owner"], package["type"], package["name"]) == (PUBLIC, "pypi", "reg-wheel")
    assert [v["version"] for v in package["versions"]] == ["1.2", "1.1", "1.0"]
    sizes = {v["version"]: v["size"] for v in package["versions"]}
    assert package["size"] == info["totals"]["size"] == sum(sizes.values()) > 0

    options = {"types": ["pypi"], "min_age_hours": 0, "keep_wheels": 2}
    with forge.noted() as asked:
        foretold = registry("gitea_registry_prune", check=True, **options)
    assert methods(asked) == {"GET"}
    assert [v["version"] for v in foretold["removed"]] == ["1.0"]
    assert foretold["space"]["bytes"] == sizes["1.0"]
    settings = {
        "registry": forge.host,
        "owners": [PUBLIC],
        "names": ["reg-wheel"],
        "token_secret": {"namespace": forge.namespace, "name": "gitea-bot-token"},
        "ca_file": NODE_CA,
        "gitea_namespace": forge.namespace,
        "min_age_hours": 0,
        "keep_wheels": 2,
    }
    variables = json.dumps({f"registry_prune_{key}": value for key, value in settings.items()})
    done = playbook("playbooks/registry_prune.yml", "-e", variables)
    assert (done.rc, done.changed) == (0, ["Delete what nobody needs any more"])
    again = registry("gitea_registry_prune", **options)
    assert (again["changed"], again["space"]["text"]) == (False, "Everything is needed.")
    files = {version: forge.wheel(PUBLIC, "reg-wheel", version) for version in wheels}
    assert (files["1.0"].status, sha256(files["1.1"].body), sha256(files["1.2"].body)) == (
        404,
        wheels["1.1"],
        wheels["1.2"],
    )
