"""From a clean server to a served application, and everything that must hold afterwards."""

from __future__ import annotations

import base64
import re
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._http import Http
from ansible_collections.railiance.stack.plugins.module_utils._smoke import run_checks

ROOT = Path(__file__).resolve().parents[2]
APP = "vergabe-teilnahme"
SITE = "https://vergabe.lab.test"
FORGE = "https://gitea.lab.test"


def look(lab, url, checks):
    """The failing outcomes of requests from the controller: by the node's address, verified with the lab's CA."""
    http = Http(ca_file=lab["ca_file"], address=lab["node_address"])
    outcomes = run_checks(url, checks, lambda target, headers: http.request("GET", target, headers=headers))
    assert outcomes
    return [f"{o.name}: {o.detail}" for o in outcomes if not o.ok]


def wait_until_served(lab, seconds):
    """Until application and forge answer; the last answers are in the failure."""
    deadline = time.monotonic() + seconds
    while failing := look(lab, SITE, [{"path": "/health/"}]) + look(lab, FORGE, [{"path": "/user/login"}]):
        assert time.monotonic() < deadline, failing
        time.sleep(0.5)


def test_one_command_takes_the_clean_server_to_the_application(playbook):
    """Check mode on the clean server foretells by name what the run then changes."""
    foretold = playbook("deploy-stack.yml", "--check")
    assert foretold.rc == 0, foretold.messages
    run = playbook("deploy-stack.yml")
    assert run.rc == 0, run.messages
    assert sorted(set(foretold.changed) ^ set(run.changed)) == []
    assert {"s1", "s2", "s3", "s4", "s5"} <= set(run.layer_seconds())
    assert run.report["outcome"] == "ok"
    print({layer: f"{seconds:.0f} s" for layer, seconds in run.layer_seconds().items()})


def test_the_application_is_served_over_verified_tls(lab):
    assert (
        look(
            lab,
            SITE,
            [
                {"path": "/health/"},
                {"path": "/", "status": 302, "location": "/ausschreibungen/dashboard/"},
                {
                    "path": "/ausschreibungen/dashboard/",
                    "title": "Übersicht",
                    "content_type": "text/html",
                    "assets": True,
                },
                {"path": "/ausschreibungen/", "headers": {"HX-Request": "true"}, "excludes": "<html"},
                {"path": "/admin/login/", "title": "Anmelden"},
            ],
        )
        == []
    )


def test_the_forge_is_served_over_verified_tls(lab):
    assert look(lab, FORGE, [{"path": "/user/login"}, {"path": "/v2/", "status": 401}]) == []


def test_the_operator_gets_the_forges_login_with_the_documented_command(kubectl, lab):
    """The command of roles/gitea/README.md; the login it prints opens the forge."""
    readme = (ROOT / "roles" / "gitea" / "README.md").read_text()
    [command] = re.findall(r"^kubectl (.*gitea-admin.*)$", readme, re.MULTILINE)
    user, password = kubectl(command).split()
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    http = Http(ca_file=lab["ca_file"], address=lab["node_address"])
    answer = http.request("GET", f"{FORGE}/api/v1/user", headers={"Authorization": f"Basic {basic}"})
    assert (answer.status, answer.json()["login"]) == (200, user)


def test_the_working_copy_pushes_over_ssh_without_a_prompt(node):
    """A branch of its own, removed again, with no terminal and no agent to ask."""
    git = f"env -u SSH_AUTH_SOCK GIT_TERMINAL_PROMPT=0 GIT_SSH_COMMAND='ssh -o BatchMode=yes' git -C ~/{APP}"
    assert node(f"{git} remote get-url origin") == f"ssh://git@gitea-local/apps/{APP}.git\n"
    node(f"{git} push --quiet origin HEAD:refs/heads/probe </dev/null")
    assert node(f"{git} ls-remote origin refs/heads/probe").split()[0] == node(f"{git} rev-parse HEAD").strip()
    node(f"{git} push --quiet origin --delete probe </dev/null")


def test_the_idle_stack_needs_less_than_three_gigabytes(node):
    """Proportional memory of every process on the server, the pods' included."""
    kibibytes = node(
        "sudo sh -c \"cat /proc/[0-9]*/smaps_rollup 2>/dev/null\" | awk '/^Pss:/ {sum += $2} END {print sum}'"
    )
    print(f"memory of the idle stack: {int(kibibytes) / 1024:.0f} MiB")
    assert int(kibibytes) < 3 * 1024 * 1024


def test_a_second_run_changes_nothing(playbook):
    run = playbook("deploy-stack.yml")
    assert (run.rc, run.changed) == (0, [])


def test_check_mode_predicts_nothing(playbook):
    run = playbook("deploy-stack.yml", "--check", "--diff")
    assert (run.rc, run.changed) == (0, [])


def test_the_status_playbook_shows_a_healthy_stack(playbook):
    assert playbook("playbooks/status.yml").rc == 0


def test_check_predicts_exactly_the_planted_drifts_and_the_run_mends_exactly_them(playbook, node, kubectl):
    node("sudo sed -i '/[[:space:]]swap[[:space:]]/d' /etc/fstab")
    node("sudo sed -i 's/^MemoryMax=.*/MemoryMax=99M/' /etc/systemd/system/user-$(id -u).slice.d/limits.conf")
    kubectl(f"-n {APP} scale deployment {APP} --replicas=2")
    kubectl(f"-n databases label secret -l app.kubernetes.io/instance={APP} cnpg.io/reload-")
    kubectl(
        f"-n {APP} patch ingress {APP} --type=json "
        '-p \'[{"op": "replace", "path": "/spec/rules/0/host", "value": "wrong.lab.test"}]\''
    )
    predicted = playbook("deploy-stack.yml", "--check", "--diff")
    assert predicted.rc == 0, predicted.messages
    assert predicted.changed == [
        "Keep the swap file",
        "Limit the memory",
        "Secrets | Give the application its own role and database",
        "Rollout | Release the chart",
        "Expose | Obtain the certificate, then create the Ingress",
    ]
    mended = playbook("deploy-stack.yml")
    assert mended.rc == 0, mended.messages
    # That nothing is left to change is what the next runs show: test_ways_to_run.py.
    assert mended.changed == predicted.changed


def test_a_lost_image_comes_back_from_the_registry_by_digest(kubectl, node, lab):
    pods = kubectl(f"-n {APP} get pods -l app.kubernetes.io/name={APP} -o json")["items"]
    [image] = {pod["spec"]["containers"][0]["image"] for pod in pods}
    assert image.startswith("gitea.lab.test/apps/vergabe-teilnahme@sha256:")
    digest = image.partition("@")[2]
    names = [line for line in node("sudo k3s ctr images ls -q").splitlines() if "vergabe-teilnahme" in line]
    assert names
    node("sudo k3s ctr images rm --sync " + " ".join(names))
    kubectl(f"-n {APP} delete pod -l app.kubernetes.io/name={APP} --wait=true")
    kubectl(f"-n {APP} rollout status deployment {APP} --timeout=120s")
    events = kubectl(f"-n {APP} get events --field-selector reason=Pulled -o json")["items"]
    assert any("Successfully pulled" in event["message"] and digest in event["message"] for event in events)
    wait_until_served(lab, 30)


def test_the_stack_comes_back_after_a_reboot(lab, playbook, node):
    before = node("systemctl show -P UserspaceTimestampMonotonic")
    subprocess.run(["podman", "restart", lab["nodes"]["node1"]["container"]], check=True, capture_output=True)
    wait_until_served(lab, 240)
    assert node("systemctl show -P UserspaceTimestampMonotonic") != before
    deadline = time.monotonic() + 120
    while playbook("playbooks/status.yml").rc != 0:
        assert time.monotonic() < deadline, "the stack is served but not healthy"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ('{"name": "x", "hots": "x.lab.test"}', "stack_apps[0].hots"),
        ('{"host": "x.lab.test"}', "stack_apps[0].name"),
        ('{"name": "x", "host": "x.lab.test", "replicas": "many"}', "stack_apps[0].replicas"),
    ],
)
def test_a_wrong_entry_is_named_before_anything_changes(playbook, entry, expected):
    run = playbook("deploy-stack.yml", "-e", '{"stack_apps": [' + entry + "]}")
    assert run.rc != 0
    assert run.changed == []
    assert any(expected in message for message in run.messages), run.messages
