from __future__ import annotations

import base64
import copy

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._policy import Rules, settings_violations, violations

HOST = "shop.example.org"
RULES = Rules((HOST,), django=True)
PROBE = {
    "httpGet": {
        "path": "/health/",
        "port": "http",
        "httpHeaders": [{"name": "Host", "value": HOST}, {"name": "X-Forwarded-Proto", "value": "https"}],
    }
}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "shop", "namespace": "shop"},
    "spec": {
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "app",
                        "ports": [{"name": "http", "containerPort": 8000}],
                        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
                        "readinessProbe": PROBE,
                        "livenessProbe": {"tcpSocket": {"port": "http"}},
                        "env": [
                            {"name": "ALLOWED_HOSTS", "value": HOST},
                            {"name": "CSRF_TRUSTED_ORIGINS", "value": f"https://{HOST}"},
                            {"name": "SECURE_PROXY_SSL_HEADER", "value": "HTTP_X_FORWARDED_PROTO,https"},
                        ],
                        "envFrom": [{"secretRef": {"name": "shop-env"}}],
                    }
                ]
            }
        }
    },
}
WHERE = "Deployment shop/shop, container app"


def secret(**values):
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"shop-env": {"kind": "Secret", "data": data}}


def changed(change):
    deployment = copy.deepcopy(DEPLOYMENT)
    change(deployment["spec"]["template"]["spec"]["containers"][0])
    return deployment


def with_env(name, value):
    def change(container):
        container["env"] = [entry for entry in container["env"] if entry["name"] != name]
        container["env"].append({"name": name, "value": value})

    return changed(change)


def test_what_the_chart_renders_passes():
    assert violations([DEPLOYMENT], secret(SECRET_KEY="canary-canary"), RULES) == []  # noqa: S106  a canary


@pytest.mark.parametrize(
    ("deployment", "expected"),
    [
        (
            changed(lambda c: c.pop("resources")),
            [
                f"{WHERE}: resources.requests lacks cpu and memory. One application must not starve others.",
                f"{WHERE}: resources.limits lacks memory. One application must not starve others.",
            ],
        ),
        (
            changed(lambda c: c.pop("readinessProbe")),
            [f"{WHERE}: readinessProbe is missing. Without it traffic reaches a pod that does not answer."],
        ),
        (
            changed(lambda c: c["readinessProbe"]["httpGet"].update(httpHeaders=[])),
            [
                f"{WHERE}: readinessProbe does not send a public Host. Django answers 400 to any other.",
                f"{WHERE}: readinessProbe does not send X-Forwarded-Proto: https. The answer would be a redirect.",
            ],
        ),
        (
            with_env("ALLOWED_HOSTS", "other.example.org"),
            [f"{WHERE}: ALLOWED_HOSTS lacks {HOST}. Django would answer 400."],
        ),
        (
            with_env("ALLOWED_HOSTS", "*"),
            [f"{WHERE}: ALLOWED_HOSTS allows every host. Name the public ones."],
        ),
        (
            with_env("CSRF_TRUSTED_ORIGINS", ""),
            [f"{WHERE}: CSRF_TRUSTED_ORIGINS lacks https://{HOST}. Forms would be refused."],
        ),
        (
            with_env("SECURE_PROXY_SSL_HEADER", ""),
            [
                f"{WHERE}: SECURE_PROXY_SSL_HEADER is not HTTP_X_FORWARDED_PROTO,https. "
                "Django would take requests for plain HTTP."
            ],
        ),
        (
            with_env("DEBUG", "True"),
            [f"{WHERE}: DEBUG is on. A public application never runs with it; remove it."],
        ),
        (
            with_env("SMTP_PASSWORD", "x"),
            [f"{WHERE}: SMTP_PASSWORD looks like a secret. Move it from environment to secret_environment."],
        ),
        (
            with_env("CACHE", "redis://:geheim@valkey:6379/0"),
            [f"{WHERE}: CACHE looks like a secret. Move it from environment to secret_environment."],
        ),
    ],
)
def test_every_broken_rule_is_named(deployment, expected):
    assert violations([deployment], {}, RULES) == expected


def test_debug_in_a_secret_is_seen_and_its_value_is_not_shown():
    found = violations([DEPLOYMENT], secret(DEBUG="1"), RULES)
    assert found == [f"{WHERE}: DEBUG is on. A public application never runs with it; remove it."]


def test_the_value_of_a_secret_in_a_manifest_is_found_without_being_told():
    canary = "canary-of-the-key"
    found = violations([with_env("GREETING", f"hello {canary}")], secret(SECRET_KEY=canary), RULES)
    assert found == ["Deployment shop/shop holds the value of a Secret. Refer to the Secret instead."]


def test_a_secret_in_the_chart_is_refused():
    chart = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "shop"}}
    assert violations([chart], {}, RULES) == [
        "Secret shop/s is part of the chart: Helm would keep its values. Keep it outside of the release."
    ]


def test_a_scheduled_command_needs_limits_but_no_probes():
    container = {"name": "command", "image": "i"}
    job = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "nightly", "namespace": "shop"},
        "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [container]}}}}},
    }
    assert [text.partition(". ")[0] for text in violations([job], {}, RULES)] == [
        "CronJob shop/nightly, container command: resources.requests lacks cpu and memory",
        "CronJob shop/nightly, container command: resources.limits lacks memory",
    ]


SETTINGS = {
    "module": "config.production",
    "DEBUG": False,
    "ALLOWED_HOSTS": [HOST, "shop"],
    "CSRF_TRUSTED_ORIGINS": [f"https://{HOST}"],
    "SECURE_PROXY_SSL_HEADER": ["HTTP_X_FORWARDED_PROTO", "https"],
}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"ALLOWED_HOSTS": [".example.org"], "CSRF_TRUSTED_ORIGINS": ["https://*.example.org"]},
        {"ALLOWED_HOSTS": [f".{HOST}"]},
    ],
)
def test_settings_that_fit(given):
    assert settings_violations({**SETTINGS, **given}, [HOST]) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"DEBUG": True}, "DEBUG is on. A public application never runs with it; turn it off."),
        ({"ALLOWED_HOSTS": ["*"]}, "ALLOWED_HOSTS allows every host. Name the public ones."),
        ({"ALLOWED_HOSTS": [".other.org"]}, f"ALLOWED_HOSTS lacks {HOST}. Django would answer 400."),
        (
            {"CSRF_TRUSTED_ORIGINS": [f"https://*.{HOST}"]},
            f"CSRF_TRUSTED_ORIGINS lacks https://{HOST}. Forms would be refused.",
        ),
        (
            {"SECURE_PROXY_SSL_HEADER": []},
            "SECURE_PROXY_SSL_HEADER is not HTTP_X_FORWARDED_PROTO,https. Django would take requests for plain HTTP.",
        ),
    ],
)
def test_settings_that_do_not_fit_are_named(given, expected):
    assert settings_violations({**SETTINGS, **given}, [HOST]) == [f"config.production: {expected}"]
