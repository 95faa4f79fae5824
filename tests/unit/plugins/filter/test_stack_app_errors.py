from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.railiance.stack.plugins.filter.stack_app_errors import stack_app_errors
from ansible_collections.railiance.stack.plugins.plugin_utils._app_schema import hosts_of, registries_of

SPEC = yaml.safe_load((Path(__file__).resolve().parents[4] / "roles/app_release/meta/argument_specs.yml").read_text())
APP: dict[str, Any] = {
    "name": "vergabe-teilnahme",
    "host": "vergabe.example.org",
    "source": {"repository": "https://git.example.org/a.git", "commit": "0d1c5f7a9f3b2e64c8d7a6b5e4f3029181706f5e"},
    "database": {"cluster": "apps-pg"},
    "smoke": [{"path": "/", "status": 302}],
}


def app(**changes: Any) -> dict[str, Any]:
    entry = copy.deepcopy(APP) | changes
    return {key: value for key, value in entry.items() if value != "absent"}


def errors(*apps: Any) -> list[str]:
    return stack_app_errors(list(apps), SPEC)


def test_a_right_list_has_no_mistakes():
    assert errors(app(), app(name="other", host="other.example.org")) == []


def test_an_empty_list_has_no_mistakes():
    assert errors() == []


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        pytest.param(app(name="absent"), "stack_apps[0].name: missing, expected str", id="missing"),
        pytest.param(app(name=None), "stack_apps[0].name: missing, expected str", id="null"),
        pytest.param(
            app(source={"repository": "x"}), "stack_apps[0].source.commit: missing, expected str", id="missing below"
        ),
        pytest.param(
            app(source={"repository": "x", "commit": 1234567}),
            "stack_apps[0].source.commit: expected str, found int, put it in quotes",
            id="number for text",
        ),
        pytest.param(
            app(source={"repository": "x", "commit": "main"}),
            "stack_apps[0].source.commit: main is no full SHA; git rev-parse main prints it",
            id="branch for commit",
        ),
        pytest.param(app(port="http"), "stack_apps[0].port: expected int, found str", id="text for number"),
        pytest.param(app(private="perhaps"), "stack_apps[0].private: expected bool, found str", id="text for bool"),
        pytest.param(app(smoke={"path": "/"}), "stack_apps[0].smoke: expected list, found dict", id="dict for list"),
        pytest.param(app(database="apps-pg"), "stack_apps[0].database: expected dict, found str", id="text for dict"),
        pytest.param(
            app(smoke=[{"path": "/"}, {"status": 200}]),
            "stack_apps[0].smoke[1].path: missing, expected str",
            id="missing in a list",
        ),
        pytest.param(
            app(imgae={}), "stack_apps[0].imgae: unknown key, did you mean image", id="unknown key, close to another"
        ),
        pytest.param(app(zzz=1), "stack_apps[0].zzz: unknown key", id="unknown key"),
        pytest.param(app(runtime="rails"), "stack_apps[0].runtime: expected one of django, generic", id="choice"),
        pytest.param(
            app(name="My_App"),
            "stack_apps[0].name: My_App is no DNS label (lower-case letters, digits and dashes)",
            id="name",
        ),
        pytest.param(app(host="localhost"), "stack_apps[0].host: localhost is no host name", id="host"),
        pytest.param(
            app(host="absent"),
            "stack_apps[0].host: missing, expected str (or private: true for no public exposure)",
            id="no host",
        ),
        pytest.param(
            app(source="absent"),
            "stack_apps[0].source, stack_apps[0].image.reference: missing, expected one of them",
            id="no source",
        ),
        pytest.param(
            app(image={"reference": "r/a@sha256:0"}),
            "stack_apps[0].source, stack_apps[0].image.reference: both given, expected one",
            id="two sources",
        ),
        pytest.param(
            app(config={"environment": {"DEBUG": True}}),
            "stack_apps[0].config.environment.DEBUG: is on. No application is released with it; remove it.",
            id="a rule across keys",
        ),
        pytest.param("vergabe", "stack_apps[0]: expected dict, found str", id="no entry"),
    ],
)
def test_each_mistake_is_named_with_its_path(entry: Any, expected: str):
    assert errors(entry) == [expected]


def test_all_mistakes_are_named_at_once():
    assert errors(app(name=None, port="x", imgae={}), app(host=7)) == [
        "stack_apps[0].name: missing, expected str",
        "stack_apps[0].port: expected int, found str",
        "stack_apps[0].imgae: unknown key, did you mean image",
        "stack_apps[1].host: expected str, found int, put it in quotes",
    ]


def test_names_and_hosts_are_taken_once():
    assert errors(app(extra_hosts=["www.example.org"]), app(extra_hosts=["WWW.example.org"])) == [
        "stack_apps[1].name: vergabe-teilnahme is taken by stack_apps[0].name",
        "stack_apps[1].host: vergabe.example.org is taken by stack_apps[0].host",
        "stack_apps[1].extra_hosts[0]: www.example.org is taken by stack_apps[0].extra_hosts[0]",
    ]


def test_a_namespace_holds_one_application():
    other = {"host": "other.example.org", "name": "other"}
    found = "stack_apps[1].namespace: {} is that of stack_apps[0]; a restore of one would stop both. Give another one"
    assert errors(app(), app(**other, namespace="vergabe-teilnahme")) == [found.format("vergabe-teilnahme")]
    assert errors(app(namespace="team"), app(**other, namespace="team")) == [found.format("team")]
    assert errors(app(namespace="team"), app(**other, namespace="other")) == []


def test_a_private_application_needs_no_host():
    assert errors(app(host="absent", private=True)) == []


def test_values_are_never_repeated():
    secret = {"TOKEN": "canary"}
    assert errors(app(secret_environment=[secret], environment="canary")) == [
        "stack_apps[0].environment: expected dict, found str",
        "stack_apps[0].secret_environment: expected dict, found list",
    ]


@pytest.mark.parametrize("apps", [None, "x", {"a": 1}])
def test_something_else_than_a_list_is_named(apps: Any):
    kind = {"NoneType": "null"}.get(type(apps).__name__, type(apps).__name__)
    assert stack_app_errors(apps, SPEC) == [f"stack_apps: expected list, found {kind}"]


def test_another_spec_is_refused():
    with pytest.raises(AnsibleFilterError, match="is not the argument spec of the role app_release"):
        stack_app_errors([], {})


def test_public_hosts_of_well_formed_entries():
    apps = [app(extra_hosts=["www.example.org", 7]), app(), app(host="hidden.example.org", private=True), "x", {}]
    assert hosts_of(apps) == ["vergabe.example.org", "www.example.org"]
    assert hosts_of(None) == []


def test_registries_of_prebuilt_images():
    apps = [app(image={"reference": "ghcr.io/a/b@sha256:0"}), app(image={"reference": "ghcr.io/c"}), app(image="x"), 1]
    assert registries_of(apps) == ["ghcr.io"]
