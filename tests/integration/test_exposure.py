"""Exposure against a real cluster, certificate authority and name servers: what stops it, and the way through."""

from __future__ import annotations

import json
import time

import pytest

NAMESPACE = "it-exposure"
HOST = "it-exposure.lab.test"
BUSYBOX = "docker.io/rancher/mirrored-library-busybox:1.37.0"
COREDNS = "docker.io/rancher/mirrored-coredns-coredns:1.14.6"


def service(name, port, target, protocol="TCP"):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "selector": {"app": name},
            "ports": [{"name": "main", "port": port, "targetPort": target, "protocol": protocol}],
        },
    }


def pod(name, image, command, **more):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": name, "image": image, "command": command, **more.pop("container", {})}],
            **more,
        },
    }


@pytest.fixture(autouse=True, scope="module")
def web(node, kubectl):
    """A page in a namespace of its own."""
    page = "mkdir /tmp/w && echo '<title>Here</title>' > /tmp/w/index.html && exec httpd -f -p 8080 -h /tmp/w"
    objects = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        pod("web", BUSYBOX, ["sh", "-c", page]),
        service("web", 80, 8080),
    ]
    apply(node, *objects)
    kubectl(f"wait pod/web -n {NAMESPACE} --for=condition=Ready --timeout=60s")
    yield
    kubectl(f"delete namespace {NAMESPACE}")


def apply(node, *objects):
    items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    node("sudo k3s kubectl apply -f -", json.dumps(items).encode())


@pytest.fixture
def expose(task, lab):
    def run(check=False, **options):
        arguments = {
            "name": "web",
            "namespace": NAMESPACE,
            "hosts": [HOST],
            "port": "main",
            "ingress_class": "traefik",
            "issuer": "letsencrypt-prod",
            "staging_issuer": "letsencrypt-staging",
            "addresses": [lab["node_address"]],
            "wait_timeout": 120,
            **options,
        }
        return task("app_exposure", check=check, **arguments)

    return run


def exposed(kubectl):
    kinds = "ingress,certificate,certificaterequest,order,challenge"
    return kubectl(f"get {kinds} -n {NAMESPACE} -o name").split()


def until_clean(kubectl):
    """What belonged to a removed certificate goes a moment later."""
    deadline = time.monotonic() + 30
    while (left := exposed(kubectl)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return left


# -- what stops it ---------------------------------------------------------------------------------------------
def test_a_record_that_leads_elsewhere(expose, kubectl, lab):
    result = expose(addresses=["203.0.113.7"])
    assert result["failed"]
    assert result["needs_operator"]
    assert result["msg"] == (
        f"{HOST} leads to {lab['node_address']}, not to 203.0.113.7; asked was the zone lab.test (name servers"
        f" ns.lab.test). Replace its records there by: {HOST}. 300 IN A 203.0.113.7. Nothing has been exposed; run"
        " again afterwards."
    )
    assert exposed(kubectl) == []


def test_a_host_that_is_taken(expose, kubectl):
    result = expose(hosts=["gitea.lab.test"])
    assert result["needs_operator"]
    assert result["msg"].startswith(
        f"Ingress {NAMESPACE}/web would claim what is taken: gitea.lab.test/ is served by Ingress gitea/gitea."
    )
    assert exposed(kubectl) == []


@pytest.fixture
def broken_issuer(node, kubectl):
    """Its authority cannot be reached."""
    acme = {
        "email": "operator@lab.test",
        "server": "https://ns.lab.test:9/dir",
        "privateKeySecretRef": {"name": "it-exposure-broken"},
        "solvers": [{"http01": {"ingress": {"class": "traefik"}}}],
    }
    meta = {"name": "it-exposure-broken"}
    apply(node, {"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": meta, "spec": {"acme": acme}})
    kubectl("wait clusterissuer/it-exposure-broken --for=condition=Ready=False --timeout=60s")
    yield meta["name"]
    kubectl(f"delete clusterissuer {meta['name']}")
    kubectl(f"delete secret -n cert-manager {meta['name']} --ignore-not-found")


def test_an_issuer_whose_authority_is_away(expose, kubectl, broken_issuer):
    result = expose(issuer=broken_issuer)
    assert result["failed"]
    assert result["msg"].startswith(f"ClusterIssuer {broken_issuer} is not ready: ")
    assert "Check that the cluster reaches https://ns.lab.test:9/dir" in result["msg"]
    assert exposed(kubectl) == []


def test_a_challenge_that_nobody_answers(expose, kubectl):
    """pebble.lab.test is another machine, with nothing on port 80."""
    result = expose(hosts=["pebble.lab.test"], dns="none", wait_timeout=20)
    assert result["failed"]
    assert result["msg"].startswith(
        "The certificate for pebble.lab.test of ClusterIssuer letsencrypt-staging did not come within 20 s:"
        " pebble.lab.test: Waiting for HTTP-01 challenge propagation: "
    )
    assert "Open port 80 of the server to the internet" in result["msg"]
    assert result["failed_step"] == f"create Certificate {NAMESPACE}/web-tls-staging"
    assert until_clean(kubectl) == []


# -- the way through -------------------------------------------------------------------------------------------
def test_foretold_done_repeated_removed(expose, task, kubectl):
    address = kubectl(f"get service web -n {NAMESPACE} -o jsonpath={{.spec.clusterIP}}")
    inside = task("smoke", url=f"http://{address}:80", host=HOST, checks=[{"path": "/", "title": "Here"}])
    assert [one["ok"] for one in inside["outcomes"]] == [True]
    foretold = expose(check=True)
    assert exposed(kubectl) == []
    done = expose()
    again = expose()
    assert [foretold["changed"], done["changed"], again["changed"]] == [True, True, False], (foretold, done, again)
    assert foretold["plan"] == done["plan"]
    kinds = [step["target"].split()[0] for step in done["plan"]]
    assert kinds == ["Certificate", "Certificate", "Certificate", "Ingress"]
    assert set(exposed(kubectl)) >= {"ingress.networking.k8s.io/web", "certificate.cert-manager.io/web-tls"}
    assert "staging" not in kubectl(f"get certificate,secret -n {NAMESPACE} -o name")
    outside = task(
        "smoke", url=f"https://{HOST}", ca_file="/etc/railiance/ca.crt", checks=[{"path": "/", "title": "Here"}]
    )
    assert [one["ok"] for one in outside["outcomes"]] == [True]
    removed = expose(state="absent")
    assert removed["changed"]
    assert until_clean(kubectl) == []
    assert not expose(state="absent")["changed"]


# -- names -----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def name_server(node, kubectl):
    """A zone of its own, at the address of a Service; returns that address."""
    apply(node, service("dns", 53, 53, "UDP"))
    address = kubectl(f"get service dns -n {NAMESPACE} -o jsonpath={{.spec.clusterIP}}")
    zone = (
        "$ORIGIN shop.test.\n$TTL 60\n"
        "@ IN SOA ns hostmaster 1 7200 3600 1209600 60\n"
        f"@ IN NS ns\nns IN A {address}\n"
        "right IN A 203.0.113.7\nwrong IN A 198.51.100.9\nalias IN CNAME right\n"
        "away IN NS ns.away\nns.away IN A 192.0.2.1\n"
    )
    corefile = "shop.test:53 {\n    file /zone/shop.test\n}\n"
    meta = {"name": "dns", "namespace": NAMESPACE}
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": meta,
        "data": {"Corefile": corefile, "shop.test": zone},
    }
    server = pod(
        "dns",
        COREDNS,
        None,
        container={"args": ["-conf", "/zone/Corefile"], "volumeMounts": [{"name": "zone", "mountPath": "/zone"}]},
        volumes=[{"name": "zone", "configMap": {"name": "dns"}}],
    )
    apply(node, config, server)
    kubectl(f"wait pod/dns -n {NAMESPACE} --for=condition=Ready --timeout=60s")
    return address


WHERE = "asked was the zone shop.test (name servers ns.shop.test)."


def test_names_at_the_zones_own_server(task, name_server):
    options = {"addresses": ["203.0.113.7"], "resolvers": [name_server]}
    right = task("dns_check", hosts=["right.shop.test", "alias.shop.test"], **options)
    assert [one["state"] for one in right["dns"]] == ["ok", "ok"], right
    result = task("dns_check", hosts=[f"{name}.shop.test" for name in ("missing", "wrong", "x.away")], **options)
    assert result["needs_operator"]
    told = {one["state"]: f"{one['message']} {one['hint']}" for one in result["dns"]}
    assert told == {
        "missing": f"missing.shop.test has no address; {WHERE} Create this record there: missing.shop.test. 300 IN A"
        " 203.0.113.7",
        "wrong": f"wrong.shop.test leads to 198.51.100.9, not to 203.0.113.7; {WHERE} Replace its records there by:"
        " wrong.shop.test. 300 IN A 203.0.113.7",
        "elsewhere": "x.away.shop.test is delegated by the zone shop.test (name servers ns.shop.test) to"
        " ns.away.shop.test, and nobody there answers for it. Remove that delegation and create: x.away.shop.test. 300"
        " IN A 203.0.113.7; or let those servers answer.",
    }


def test_a_zone_of_somebody_else(task, name_server):
    options = {"hosts": ["missing.shop.test"], "addresses": ["203.0.113.7"], "resolvers": [name_server]}
    result = task("dns_check", zones=["example.org"], **options)
    assert result["msg"].startswith(
        "missing.shop.test has no address, and the zone shop.test (name servers ns.shop.test) belongs to somebody else:"
        " stack_dns_zones names example.org; hostmaster@shop.test keeps it. Ask for this record:"
    )
