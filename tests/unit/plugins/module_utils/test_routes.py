from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator
from ansible_collections.railiance.stack.plugins.module_utils._kube import Ref
from ansible_collections.railiance.stack.plugins.module_utils._routes import check_free, read_routes
from unit.fakes import FakeKube

OURS = Ref("networking.k8s.io/v1", "Ingress", "shop", "shop")


def ingress(name="gitea", namespace="gitea", host="git.example.org", path="/", **metadata):
    rule = {"http": {"paths": [{"path": path, "pathType": "Prefix", "backend": {}}]}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {"rules": [{**rule, **({"host": host} if host else {})}]},
    }


def ingress_route(match, kind="IngressRoute", group="traefik.io"):
    return {
        "apiVersion": f"{group}/v1alpha1",
        "kind": kind,
        "metadata": {"name": "dashboard", "namespace": "kube-system"},
        "spec": {"routes": [{"match": match}]},
    }


HELM = {
    "labels": {"app.kubernetes.io/managed-by": "Helm"},
    "annotations": {"meta.helm.sh/release-name": "gitea", "meta.helm.sh/release-namespace": "forge"},
}


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (ingress(), "git.example.org/ is served by Ingress gitea/gitea"),
        (ingress(host="GIT.example.org"), "git.example.org/ is served by Ingress gitea/gitea"),
        (ingress(path="/api"), "git.example.org/api is served by Ingress gitea/gitea"),
        (ingress(namespace="shop"), "git.example.org/ is served by Ingress shop/gitea"),
        (ingress(**HELM), "git.example.org/ is served by Ingress gitea/gitea of the Helm release forge/gitea"),
        (
            ingress_route("Host(`git.example.org`) && PathPrefix(`/dash`)"),
            "git.example.org/dash is served by IngressRoute kube-system/dashboard",
        ),
        (
            ingress_route("(Host(`a.org`, `git.example.org`)) && !Path('/x')", group="traefik.containo.us"),
            "git.example.org/x is served by IngressRoute kube-system/dashboard",
        ),
        (
            ingress_route("HostSNI(`git.example.org`)", kind="IngressRouteTCP"),
            "git.example.org/ is served by IngressRouteTCP kube-system/dashboard",
        ),
        (
            {
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "HTTPRoute",
                "metadata": {"name": "web", "namespace": "edge"},
                "spec": {"hostnames": ["git.example.org"], "rules": [{}]},
            },
            "git.example.org/ is served by HTTPRoute edge/web",
        ),
    ],
)
def test_a_taken_host_names_its_owner(other, named):
    with pytest.raises(NeedsOperator) as caught:
        check_free(read_routes(FakeKube(other)), OURS, ["git.example.org"])
    assert caught.value.message == (f"Ingress shop/shop would claim what is taken: {named}. Nothing has been exposed.")
    meta = other["metadata"]
    assert caught.value.hint == (
        "Give the application another host, or remove the other one:"
        f" kubectl -n {meta['namespace']} delete {other['kind'].lower()} {meta['name']}"
    )


@pytest.mark.parametrize(
    "other",
    [
        ingress("shop", "shop"),
        ingress(host="other.example.org"),
        ingress(host=""),
        ingress(namespace="shop", path="/media"),
        ingress(labels={"acme.cert-manager.io/http01-solver": "true"}, path="/.well-known/acme-challenge/x"),
        ingress_route("HostSNI(`*`)", kind="IngressRouteTCP"),
        ingress_route("PathPrefix(`/ping`)"),
    ],
    ids=["ours", "other host", "no host", "own namespace", "challenge", "any name", "any host"],
)
def test_a_free_host(other):
    check_free(read_routes(FakeKube(other)), OURS, ["git.example.org"])


def test_kinds_that_the_cluster_does_not_serve_claim_nothing():
    kube = FakeKube(ingress(), missing_kinds={"IngressRoute", "IngressRouteTCP", "HTTPRoute"})
    assert [str(route) for route in read_routes(kube)] == ["Ingress gitea/gitea"]
