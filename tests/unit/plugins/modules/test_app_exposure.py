"""Certificate before Ingress, staging before production, and nothing left of what failed."""

from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._dns import Answer, Record
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Ref, Timeout
from ansible_collections.railiance.stack.plugins.modules.app_exposure import work
from unit.fakes import FakeKube, FakeModule

HERE = "203.0.113.7"
HOST = "shop.example.org"
CERTIFICATE = Ref("cert-manager.io/v1", "Certificate", "shop-tls", "shop")
STAGING = Ref("cert-manager.io/v1", "Certificate", "shop-tls-staging", "shop")
INGRESS = Ref("networking.k8s.io/v1", "Ingress", "shop", "shop")
FIRST = [
    "apply Certificate shop/shop-tls-staging",
    "delete Certificate shop/shop-tls-staging",
    "delete Secret shop/shop-tls-staging",
    "apply Certificate shop/shop-tls",
    "apply Ingress shop/shop",
]


class CertManager:
    """Plays the controller: issues at once, or says why not."""

    def __init__(self, refuse=(), silent=()):
        self.refuse, self.silent = set(refuse), set(silent)

    def __call__(self, kube, verb, ref):
        if ref.kind != "Certificate" or verb == "delete" or ref not in kube.objects:
            return
        live = kube.objects[ref]
        issuer = live["spec"]["issuerRef"]["name"]
        if issuer in self.silent:
            return
        if issuer in self.refuse:
            failed = {"type": "Issuing", "status": "False", "reason": "Failed", "message": "the order is invalid"}
            live["status"] = {"conditions": [failed, {"type": "Ready", "status": "False"}]}
            return
        ready = {"type": "Ready", "status": "True", "observedGeneration": live["metadata"]["generation"]}
        live["status"] = {"conditions": [ready]}
        kube.put(_secret(ref.name))


def _secret(name):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "shop"}}


def issuer(name, ready="True", message="registered"):
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "ClusterIssuer",
        "metadata": {"name": name},
        "spec": {"acme": {"server": "https://acme.example.org/dir"}},
        "status": {"conditions": [{"type": "Ready", "status": ready, "message": message}]},
    }


def cluster(*objects, controller=None):
    kube = FakeKube(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop", "namespace": "shop"}},
        issuer("prod"),
        issuer("staging"),
        *objects,
    )
    kube.on_write = controller or CertManager()
    return kube


def internet(records):
    """A zone example.org whose one server is 192.0.2.1; asked of the resolver 10.0.0.53."""
    asked = []

    def ask(server, name, kind, recursive):
        asked.append((server, name, kind))
        soa = Record("example.org", "SOA", 60, "ns1.example.org hostmaster.example.org 1")
        known = {
            ("example.org", "SOA"): [soa.data],
            ("example.org", "NS"): ["ns1.example.org"],
            ("ns1.example.org", "A"): ["192.0.2.1"],
            **records,
        }
        found = tuple(Record(name, kind, 60, data) for data in known.get((name, kind), []))
        return Answer("NOERROR", not recursive, answers=found, authority=() if found else (soa,))

    ask.asked = asked
    return ask


GOOD = {(HOST, "A"): [HERE], ("www.example.org", "A"): [HERE]}


def expose(kube, check=False, records=None, ask=None, **options):
    params = {
        "name": "shop",
        "namespace": "shop",
        "state": "present",
        "hosts": [HOST],
        "service": None,
        "port": "http",
        "ingress_class": "traefik",
        "issuer": "prod",
        "staging_issuer": "staging",
        "labels": {"app.kubernetes.io/instance": "shop"},
        "annotations": {},
        "dns": "authoritative",
        "addresses": [HERE],
        "zones": [],
        "resolvers": ["10.0.0.53"],
        "wait_timeout": 0,
        **options,
    }
    return work(FakeModule(check_mode=check, **params), kube, ask or internet(GOOD if records is None else records))


def targets(result):
    return [f"{step['action']} {step['target']}" for step in result["plan"]]


# -- the way through -------------------------------------------------------------------------------------------
def test_foretold_done_repeated():
    kube = cluster()
    foretold = expose(kube, check=True)
    assert kube.written == []
    done = expose(kube)
    assert kube.written == FIRST
    assert foretold["plan"] == done["plan"]
    assert targets(done) == [
        "create Certificate shop/shop-tls-staging",
        "delete Certificate shop/shop-tls-staging",
        "create Certificate shop/shop-tls",
        "create Ingress shop/shop",
    ]
    assert done["dns"][0]["state"] == "ok"
    dns = internet(GOOD)
    again = expose(kube, ask=dns)
    assert (again["changed"], again["plan"], again["dns"], dns.asked) == (False, [], [], [])


def test_what_is_served():
    kube = cluster()
    expose(kube, hosts=[HOST, "www.example.org"], port="8000", annotations={"a": "b"})
    ingress = kube.objects[INGRESS]
    assert ingress["metadata"]["annotations"] == {"a": "b"}
    assert ingress["spec"]["tls"] == [{"hosts": [HOST, "www.example.org"], "secretName": "shop-tls"}]
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == [HOST, "www.example.org"]
    backend = {"service": {"name": "shop", "port": {"number": 8000}}}
    assert ingress["spec"]["rules"][0]["http"]["paths"] == [{"path": "/", "pathType": "Prefix", "backend": backend}]
    assert kube.objects[CERTIFICATE]["spec"] == {
        "secretName": "shop-tls",
        "dnsNames": [HOST, "www.example.org"],
        "issuerRef": {"kind": "ClusterIssuer", "name": "prod"},
    }


@pytest.mark.parametrize("staging", ["", "prod"])
def test_without_a_trial(staging):
    kube = cluster()
    expose(kube, staging_issuer=staging)
    assert kube.written == FIRST[-2:]


def test_a_further_host_gets_a_trial_too_and_the_old_certificate_serves_meanwhile():
    kube = cluster()
    expose(kube)
    kube.writes.clear()
    result = expose(kube, hosts=[HOST, "www.example.org"])
    assert kube.written == FIRST
    assert targets(result)[2:] == ["update Certificate shop/shop-tls", "update Ingress shop/shop"]


def test_a_removed_ingress_comes_back_without_a_new_certificate():
    kube = cluster()
    expose(kube)
    kube.delete(INGRESS)
    kube.writes.clear()
    assert targets(expose(kube)) == ["create Ingress shop/shop"]
    assert kube.written == ["apply Ingress shop/shop"]


def test_new_labels_ask_for_no_certificate():
    kube = cluster()
    expose(kube)
    kube.writes.clear()
    expose(kube, labels={"team": "a"})
    assert kube.written == ["apply Certificate shop/shop-tls", "apply Ingress shop/shop"]


# -- runs that were cut off ------------------------------------------------------------------------------------
def test_a_trial_left_behind_is_removed():
    kube = cluster()
    expose(kube)
    spec = {"issuerRef": {"name": "staging"}, "dnsNames": [HOST]}
    kube.put({"apiVersion": STAGING.api_version, "kind": "Certificate", "spec": spec}
             | {"metadata": {"name": STAGING.name, "namespace": "shop"}})  # fmt: skip
    assert targets(expose(kube)) == ["delete Certificate shop/shop-tls-staging"]
    assert STAGING not in kube.objects


def test_an_issue_under_way_is_only_waited_for():
    kube = cluster(controller=CertManager(silent=["prod"]))
    with pytest.raises(Timeout):
        expose(kube)
    kube.apply(
        {
            "apiVersion": CERTIFICATE.api_version,
            "kind": "Certificate",
            "metadata": {"name": "shop-tls", "namespace": "shop", "labels": {"app.kubernetes.io/instance": "shop"}},
            "spec": {
                "secretName": "shop-tls",
                "dnsNames": [HOST],
                "issuerRef": {"kind": "ClusterIssuer", "name": "prod"},
            },
        }
    )
    assert targets(expose(kube, check=True)) == ["run Certificate shop/shop-tls", "create Ingress shop/shop"]


def test_a_certificate_that_failed_earlier_is_made_anew():
    kube = cluster(controller=CertManager(refuse=["prod"]))
    wanted = {"secretName": "shop-tls", "dnsNames": [HOST], "issuerRef": {"kind": "ClusterIssuer", "name": "prod"}}
    meta = {"name": "shop-tls", "namespace": "shop", "labels": {"app.kubernetes.io/instance": "shop"}}
    kube.apply({"apiVersion": CERTIFICATE.api_version, "kind": "Certificate", "metadata": meta, "spec": wanted})
    kube.on_write = CertManager()
    assert targets(expose(kube)) == [
        "create Certificate shop/shop-tls-staging",
        "delete Certificate shop/shop-tls-staging",
        "delete Certificate shop/shop-tls",
        "create Certificate shop/shop-tls",
        "create Ingress shop/shop",
    ]
    assert INGRESS in kube.objects


# -- what stops it ---------------------------------------------------------------------------------------------
def stopped(kube, error=NeedsOperator, **options):
    with pytest.raises(error) as caught:
        expose(kube, **options)
    assert INGRESS not in kube.objects
    return caught.value


@pytest.mark.parametrize("check", [False, True])
def test_a_missing_dns_record_stops_before_anything_is_made(check):
    kube = cluster()
    error = stopped(kube, records={}, check=check)
    assert f"Create this record there: {HOST}. 300 IN A {HERE}" in str(error)
    assert error.result["dns"][0]["state"] == "missing"
    assert kube.written == []


def test_dns_can_be_left_unasked():
    dns = internet({})
    assert expose(cluster(), ask=dns, dns="none", addresses=[])["dns"] == []
    assert dns.asked == []


def test_a_taken_host_stops_before_anything_is_made():
    taken = {
        "apiVersion": INGRESS.api_version,
        "kind": "Ingress",
        "metadata": {"name": "gitea", "namespace": "gitea"},
        "spec": {"rules": [{"host": HOST, "http": {"paths": [{"path": "/"}]}}]},
    }
    kube = cluster(taken)
    error = stopped(kube)
    assert f"{HOST}/ is served by Ingress gitea/gitea" in str(error)
    assert error.result["taken"] == [{"host": HOST, "path": "/", "by": "Ingress gitea/gitea"}]
    assert kube.written == []


def test_an_ingress_of_our_name_that_belongs_to_others_stops():
    theirs = {
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": "old", "meta.helm.sh/release-namespace": "shop"},
    }
    kube = cluster(
        {
            "apiVersion": INGRESS.api_version,
            "kind": "Ingress",
            "metadata": {"name": "shop", "namespace": "shop", **theirs},
            "spec": {},
        }
    )
    with pytest.raises(NeedsOperator, match=r"^Ingress shop/shop belongs to the Helm release shop/old\."):
        expose(kube)
    assert kube.written == []


def test_no_service_no_exposure():
    kube = cluster()
    kube.objects.pop(Ref("v1", "Service", "shop", "shop"))
    assert "Service shop/shop does not exist" in str(stopped(kube, StackError))
    assert expose(kube, check=True)["changed"], "the release may still bring it"


@pytest.mark.parametrize("name", ["staging", "prod"])
def test_an_issuer_that_is_not_ready_is_not_asked(name):
    kube = cluster(issuer(name, "False", "Failed to register ACME account: 403."))
    assert str(stopped(kube, StackError)) == (
        f"ClusterIssuer {name} is not ready: Failed to register ACME account: 403. Nothing has been exposed."
        " Check that the cluster reaches https://acme.example.org/dir and trusts its certificate, then run the"
        " playbook s2_cluster."
    )
    assert kube.written == []


def test_an_issuer_that_does_not_exist():
    assert "ClusterIssuer other does not exist" in str(stopped(cluster(), issuer="other"))


def owned(kind, name, owner, **more):
    api = "acme.cert-manager.io/v1" if kind in ("Order", "Challenge") else "cert-manager.io/v1"
    meta = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "ownerReferences": [{"uid": owner}]}
    return {"apiVersion": api, "kind": kind, "metadata": meta, **more}


class Authority(CertManager):
    """Refuses with a challenge that says why."""

    def __call__(self, kube, verb, ref):
        super().__call__(kube, verb, ref)
        if ref.kind == "Certificate" and verb == "apply":
            uid = kube.objects[ref]["metadata"]["uid"]
            kube.put(owned("CertificateRequest", "request", uid))
            kube.put(owned("Order", "order", "uid-request", status={"state": "invalid"}))
            reason = "Error accepting authorization: 403 urn:ietf:params:acme:error:unauthorized: wrong status code 404"
            kube.put(owned("Challenge", "challenge", "uid-order", spec={"dnsName": HOST}, status={"reason": reason}))


@pytest.mark.parametrize("refusing", ["staging", "prod"])
def test_a_refused_certificate_says_why_and_leaves_nothing(refusing):
    kube = cluster(controller=Authority(refuse=[refusing]))
    error = stopped(kube, StackError)
    assert str(error) == (
        f"The certificate for {HOST} of ClusterIssuer {refusing} was refused: {HOST}: Error accepting authorization:"
        " 403 urn:ietf:params:acme:error:unauthorized: wrong status code 404. Nothing new has been exposed. Another"
        " server or proxy answers at the host on port 80: let it pass /.well-known/acme-challenge/ on."
    )
    name = "shop-tls-staging" if refusing == "staging" else "shop-tls"
    assert error.result["failed_step"] == f"create Certificate shop/{name}"
    assert CERTIFICATE not in kube.objects
    assert STAGING not in kube.objects
    assert ("apply", CERTIFICATE) not in kube.writes or refusing == "prod"


def test_a_certificate_that_does_not_come_says_what_it_waits_for():
    kube = cluster(controller=CertManager(silent=["staging"]))
    error = stopped(kube, Timeout)
    assert error.message.startswith(
        f"The certificate for {HOST} of ClusterIssuer staging did not come within 0 s: cert-manager gives no cause"
    )


def test_a_further_host_that_is_refused_leaves_the_old_certificate():
    kube = cluster()
    expose(kube)
    kube.on_write = CertManager(refuse=["prod"])
    with pytest.raises(StackError, match="the order is invalid"):
        expose(kube, hosts=[HOST, "www.example.org"])
    assert kube.objects[CERTIFICATE]["spec"]["dnsNames"] == [HOST]
    assert [rule["host"] for rule in kube.objects[INGRESS]["spec"]["rules"]] == [HOST]


def test_the_words_of_the_authority_lead_to_a_hint():
    kube = cluster()

    def refuse(kube, verb, ref):
        if ref == STAGING and verb == "apply":
            live = kube.objects[ref]
            text = "429 urn:ietf:params:acme:error:rateLimited: too many certificates, retry after 2026-12-01"
            live["status"] = {
                "conditions": [{"type": "Issuing", "status": "False", "reason": "Failed", "message": text}]
            }

    kube.on_write = refuse
    assert str(stopped(kube, StackError)).endswith(
        "The authority's limit is reached: wait until the time it names, then run again."
    )


# -- and back --------------------------------------------------------------------------------------------------
def test_taking_it_off_the_internet():
    kube = cluster()
    expose(kube)
    kube.writes.clear()
    foretold = expose(kube, check=True, state="absent")
    assert kube.written == []
    done = expose(kube, state="absent")
    assert foretold["plan"] == done["plan"]
    assert kube.written == [
        "delete Ingress shop/shop",
        "delete Certificate shop/shop-tls",
        "delete Secret shop/shop-tls",
    ]
    assert expose(kube, state="absent")["changed"] is False


def test_what_is_withdrawn_keeps_its_certificate():
    kube = cluster()
    expose(kube)
    kube.writes.clear()
    assert expose(kube, state="withdrawn")["changed"] is True
    assert kube.written == ["delete Ingress shop/shop"]
    assert expose(kube, state="withdrawn")["changed"] is False
