from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator
from ansible_collections.railiance.stack.plugins.module_utils._kube import NoCluster
from ansible_collections.railiance.stack.plugins.modules.ingress_info import work
from unit.fakes import FakeKube, FakeModule


def ingress_class(name="traefik", controller="traefik.io/ingress-controller", default=True):
    annotations = {"ingressclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"controller": controller},
    }


def service(
    name="traefik", namespace="kube-system", ingress=({"ip": "10.0.0.1"},), kind="LoadBalancer", ports=(80, 443)
):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"type": kind, "ports": [{"name": f"p{port}", "port": port} for port in ports]},
        "status": {"loadBalancer": {"ingress": list(ingress)}},
    }


def look(*objects, wanted=""):
    return work(FakeModule(ingress_class=wanted, wait_timeout=0), FakeKube(*objects))


def test_traefik_of_k3s_is_found():
    assert look(ingress_class(), service(), service("gitea-ssh", "gitea", kind="NodePort", ports=(22,))) == {
        "changed": False,
        "ingress_class": "traefik",
        "controller": "traefik.io/ingress-controller",
        "is_default": True,
        "service": "kube-system/traefik",
        "address": "10.0.0.1",
        "ports": {"p80": 80, "p443": 443},
    }


def test_the_only_class_is_taken_without_being_default_and_a_host_name_is_an_address():
    nginx = ingress_class("public", "k8s.io/ingress-nginx", default=False)
    balancer = service("ingress-nginx-controller", "ingress", [{"hostname": "lb.example.org"}])
    found = look(nginx, balancer, service("mail", "mail"))
    assert (found["ingress_class"], found["service"], found["address"]) == (
        "public",
        "ingress/ingress-nginx-controller",
        "lb.example.org",
    )


def test_a_named_class_wins_over_the_default():
    nginx = ingress_class("nginx", "k8s.io/ingress-nginx", default=False)
    found = look(ingress_class(), nginx, service(), service("ingress-nginx", "ingress"), wanted="nginx")
    assert found["service"] == "ingress/ingress-nginx"


@pytest.mark.parametrize(
    ("objects", "wanted", "message"),
    [
        (
            [],
            "",
            "The cluster has no ingress controller: there is no IngressClass. Let k3s bring Traefik (no traefik in"
            " disable of /etc/rancher/k3s/config.yaml), or install a controller.",
        ),
        (
            [ingress_class()],
            "nginx",
            "There is no IngressClass nginx; there is traefik. Correct ingress_use_class.",
        ),
        (
            [ingress_class(default=False), ingress_class("nginx", "k8s.io/ingress-nginx", default=False)],
            "",
            "Several ingress classes could be meant: nginx, traefik. Name the one to use in ingress_use_class.",
        ),
        (
            [ingress_class(), service(kind="ClusterIP")],
            "",
            "Ingress class traefik has no Service of type LoadBalancer with port 80 or 443."
            " Give its controller one; k3s serves such a Service on the node's own address.",
        ),
        (
            [ingress_class(), service("a", "x"), service("b", "x")],
            "",
            "It is not clear which load balancer belongs to ingress class traefik: x/a, x/b. Remove the one that is"
            " not used, or label its Service app.kubernetes.io/name after its controller.",
        ),
        (
            [ingress_class(), service(ingress=())],
            "",
            "Service kube-system/traefik has no load balancer address."
            " Look at it with: kubectl describe service traefik -n kube-system",
        ),
    ],
)
def test_what_is_missing_is_named_and_needs_a_person(objects, wanted, message):
    with pytest.raises(NeedsOperator) as caught:
        look(*objects, wanted=wanted)
    assert str(caught.value) == message


def test_before_there_is_a_cluster_nothing_is_known_and_nothing_waited_for():
    found = work(FakeModule(check_mode=True, ingress_class="", wait_timeout=180), NoCluster())
    assert (found["ingress_class"], found["address"], found["ports"]) == ("", "", {})
