"""gitea_image_push against a real Gitea over TLS, one of its own.

Each change is foretold, done and repeated; the access log of Gitea says what was asked of it.
"""

from __future__ import annotations

import pytest
from forge import NODE_CA, PRIVATE, PUBLIC, running_forge

COMMITS = [f"{number:07x}" + "0d1c5f7a9f3b2e64c8d7a6b5e4f302918" for number in range(1, 7)]


@pytest.fixture(scope="module")
def forge(lab, node, kubectl):
    with running_forge(lab, node, kubectl, "reg-it") as running:
        yield running
        running.remove_image(*(f"reg-it/{n}:1" for n in ("one", "two", "base", "big", "bad", "slow", "other")))


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


def three_times(forge, run):
    """Foretold, done, repeated; the prediction asks with GET and HEAD alone."""
    with forge.noted() as asked:
        foretold = run(check=True)
    done, again = run(), run()
    assert methods(asked) <= {"GET", "HEAD"}, asked
    assert [foretold["changed"], done["changed"], again["changed"]] == [True, True, False], (foretold, done, again)
    assert (foretold["plan"], again["plan"]) == (done["plan"], [])
    return done, again


# -- what happens to tags ------------------------------------------------------------------------------------------
def test_a_new_image_under_two_tags(forge, push, one):
    done, again = three_times(forge, lambda **how: push([COMMITS[0], "latest"], one, **how))
    assert done["tags"] == {COMMITS[0]: "created", "latest": "created"}
    assert done["bytes_sent"] > 3_200_000
    assert again["bytes_sent"] == 0
    assert forge.digest(f"{PRIVATE}/site:{COMMITS[0]}", "writer") == done["digest"] == again["digest"]
    assert forge.digest(f"{PRIVATE}/site:latest", "writer") == done["digest"]
    assert done["page"] == f"https://{forge.host}/{PRIVATE}/-/packages/container/site/{COMMITS[0]}"
    assert forge.versions(PRIVATE, "site") == sorted([COMMITS[0], "latest"])


def test_one_tag_that_is_there_costs_four_requests_at_most(forge, push, one):
    with forge.noted() as asked:
        answer = push([COMMITS[0]], one)
    assert (answer["changed"], answer["requests"]) == (False, len(asked))
    assert len(asked) <= 4, asked
    assert methods(asked) == {"GET"}, asked


def test_content_that_is_there_is_tagged_by_one_manifest(forge, push, one):
    with forge.noted() as asked:
        done = push([COMMITS[0], "stable"], one)
    assert done["tags"] == {COMMITS[0]: "unchanged", "stable": "created"}
    writes = [line for line in asked if line.split()[0] not in ("GET", "HEAD")]
    assert writes == [f"PUT /v2/{PRIVATE}/site/manifests/stable 201"]


def test_a_changed_top_layer_moves_latest_and_sends_no_base(forge, push, two):
    done, _again = three_times(forge, lambda **how: push([COMMITS[1], "latest"], two, **how))
    assert done["tags"] == {COMMITS[1]: "created", "latest": "moved"}
    assert 300_000 < done["bytes_sent"] < 400_000
    assert forge.digest(f"{PRIVATE}/site:latest", "writer") == done["digest"]


def test_a_commit_s_tag_keeps_its_content_unless_told_otherwise(forge, push, one, two):
    before = forge.digest(f"{PRIVATE}/site:{COMMITS[0]}", "writer")
    with forge.noted() as asked:
        refused = push([COMMITS[0]], two)
    assert refused["msg"].startswith(f"{forge.host}/{PRIVATE}/site:{COMMITS[0]} names other content already: sha256:")
    assert refused["msg"].endswith(
        "A commit's image does not change. Push under another tag, or give replace: true if it shall."
    )
    assert methods(asked) == {"GET"}
    done, _again = three_times(forge, lambda **how: push([COMMITS[0]], two, replace=True, **how))
    assert done["tags"] == {COMMITS[0]: "replaced"}
    assert forge.digest(f"{PRIVATE}/site:{COMMITS[0]}", "writer") == done["digest"] != before
    assert push([COMMITS[0]], one, replace=True)["digest"] == before


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
def test_the_pull_secret_is_used_only_where_it_is_needed(forge, push, kubectl, one):
    proof = {"namespace": forge.namespace, "when": "always"}
    closed = push([COMMITS[0]], one, pull_proof=proof)["pull_proof"]
    opened = push([COMMITS[0]], one, repository=f"{PUBLIC}/site", pull_proof=proof)["pull_proof"]
    assert (closed["pulled"], closed["pull_secret"]) == (True, "gitea-pull")
    assert (opened["pulled"], opened["pull_secret"]) == (True, "")
    refused = push([COMMITS[0]], one, pull_proof={**proof, "pull_secret": "none"})
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


def test_a_cut_connection_is_repeated_and_a_later_push_sends_only_what_is_missing(forge, push):
    image = forge.image("reg-it/big:1", 8_000_000, 2_000_000)
    with forge.proxy(cut_after=4_000_000) as address, forge.noted() as asked:
        failed = push(["cafe123"], image, address=address)
    assert failed["msg"].startswith(f"Could not push {image} to {forge.host}/{PRIVATE}/site:cafe123: ")
    assert " The other side closed the connection after " in failed["msg"]
    assert failed["msg"].endswith(
        "A proxy cut the upload of a large layer: raise the read timeout of its entry point (Traefik:"
        " respondingTimeouts.readTimeout), then run this again; what arrived is kept."
    )
    assert not [line for line in asked if line.startswith("PUT") and "/manifests/" in line]
    assert "cafe123" not in forge.versions(PRIVATE, "site")
    with forge.proxy(cut_after=4_000_000, times=1) as address:
        done = push(["cafe123"], image, address=address)
    assert done["tags"] == {"cafe123": "created"}
    assert forge.digest(f"{PRIVATE}/site:cafe123", "writer") == done["digest"]
