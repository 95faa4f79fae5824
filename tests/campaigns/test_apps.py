"""Applications of two kinds beside the Django one: deployed by entries, looked after by the day-2 playbooks."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._http import Http
from server import ROOT, until

MORE = ("-e", "@tests/campaigns/more_apps.yml")
HUB = "https://state-hub.lab.test"
ACTIVITY = "https://activity.lab.test"


@pytest.fixture(scope="module")
def http(lab):
    return Http(ca_file=lab["ca_file"], address=lab["node_address"])


@pytest.fixture(scope="module")
def pods(kubectl):
    def names(app):
        found = kubectl(f"-n {app} get pods -l app.kubernetes.io/name={app} -o json")["items"]
        return sorted(pod["metadata"]["name"] for pod in found if not pod["metadata"].get("deletionTimestamp"))

    return names


def test_their_entries_deploy_them_and_a_second_run_changes_nothing(playbook, http):
    run = playbook("deploy-stack.yml", "--tags", "s3,s5", *MORE)
    assert run.rc == 0, run.messages
    print({layer: f"{seconds:.0f} s" for layer, seconds in run.layer_seconds().items()})
    for site in (HUB, ACTIVITY):
        assert http.request("GET", f"{site}/health/").json() == {"status": "ok", "database": "ok"}
    again = playbook("deploy-stack.yml", "--tags", "s5", *MORE)
    assert (again.rc, again.changed) == (0, [])


def test_the_hub_has_its_cluster_its_revisions_its_configuration_and_its_secret(http, kubectl):
    psql = "-n databases exec svc/state-hub-db-rw -c postgres -- psql -At state_hub"
    assert kubectl(f"{psql} -c 'table alembic_version'").strip() == "0002"
    assert http.request("GET", f"{HUB}/openapi.json").json()["info"]["title"] == "State Hub of the lab"
    secret = kubectl("-n state-hub get secret state-hub-env -o json")["data"]
    token = base64.b64decode(secret["API_TOKEN"]).decode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    assert http.request("PUT", f"{HUB}/states/it-apps", body=b'"open"').status == 401
    assert http.request("PUT", f"{HUB}/states/it-apps", headers=headers, body=b'"open"').status in (200, 201)
    assert http.request("GET", f"{HUB}/states/it-apps").json()["value"] == "open"
    assert http.request("DELETE", f"{HUB}/states/it-apps", headers=headers).status == 204


def test_the_worker_counts_and_its_schedule_shows_what_became_of_a_run(http, kubectl, playbook):
    sent = json.dumps({"source": "it-apps", "name": str(time.time_ns())}).encode()
    assert http.request("POST", f"{ACTIVITY}/activities", body=sent).status == 201
    name = json.loads(sent)["name"]
    until(lambda: name in http.request("GET", f"{ACTIVITY}/totals").text, "the activity was not counted")
    job = "activity-core-prune-it-apps"
    kubectl(f"-n activity-core create job --from=cronjob/activity-core-prune {job}")
    try:
        kubectl(f"-n activity-core wait --for=condition=Complete job/{job} --timeout=60s")
        logs = playbook("playbooks/logs.yml", "-e", "app=activity-core", "-e", "schedule=prune", *MORE)
        assert "Forgot 0 activities" in logs.output
    finally:
        kubectl(f"-n activity-core delete job {job}")
    assert "CronJob activity-core/activity-core-prune" in playbook("playbooks/status.yml", *MORE).output


def test_a_restart_shows_which_pods_went_and_came(playbook, pods, http):
    before = pods("activity-core")
    run = playbook("playbooks/restart.yml", "-e", "app=activity-core", *MORE)
    assert run.rc == 0, run.messages
    after = pods("activity-core")
    assert not set(before) & set(after)
    assert all(name in run.output for name in (*before, *after))
    assert http.request("GET", f"{ACTIVITY}/health/").status == 200


@pytest.mark.parametrize(
    ("verb", "typed", "expected"),
    [("shell", "id -u; exit\n", "10001"), ("dbshell", "select current_user || '!';\n\\q\n", "state_hub!")],
)
def test_the_printed_line_opens_a_shell(playbook, verb, typed, expected):
    run = playbook(f"playbooks/{verb}.yml", "-e", "app=state-hub", *MORE)
    [line] = re.findall(r"^ *(ssh -t .*)$", run.output, re.MULTILINE)
    done = subprocess.run(
        # -tt: a terminal although this process has none.
        line.replace("ssh -t ", "ssh -tt ", 1).split(),
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert expected in done.stdout, done.stderr


def test_a_new_operator_recovers_a_crashed_pod_with_the_runbook_alone(playbook, kubectl, pods, http, tmp_path):
    written = playbook("playbooks/runbook.yml", "-e", "app=activity-core", "-e", f"day2_runbook_dir={tmp_path}", *MORE)
    assert written.rc == 0, written.messages
    runbook = (tmp_path / "activity-core.md").read_text()
    chapter = runbook.partition("## A pod crashed")[2].partition("\n## ")[0]
    commands = [
        line.strip()
        for block in re.findall(r"^ *```sh\n(.*?)^ *```", chapter, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    assert len(commands) == 4
    # Pods of the restart before may still be on their way out.
    [crashing] = pods("activity-core")
    pod = kubectl(f"-n activity-core get pod {crashing} -o json")
    before = pod["status"]["containerStatuses"][0]["restartCount"]
    kubectl(f"-n activity-core exec {crashing} -- python -c 'import os; os.kill(1, 15)'")

    def restarted():
        found = kubectl(f"-n activity-core get pod {crashing} -o json")
        return found["status"]["containerStatuses"][0]["restartCount"] > before

    until(restarted, "the container was not started again")
    outputs = []
    for command in commands:
        more = f" {' '.join(MORE)}" if command.startswith("ansible-playbook") else ""
        done = subprocess.run(command + more, shell=True, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S602
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        outputs.append(done.stdout)
    assert "Last State" in outputs[0]
    assert "INFO activity_core Stopped" in outputs[1]
    assert http.request("GET", f"{ACTIVITY}/health/").status == 200


def test_a_seed_that_is_not_declared_is_refused(playbook):
    refused = playbook("playbooks/seed.yml", "-e", "app=state-hub", *MORE)
    assert refused.rc != 0
    assert "its entry declares no seed" in refused.messages[0]
