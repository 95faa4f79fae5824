"""cnpg_app_db under kill -9, twenty at once, a watched password and a rotation under load.

``make campaigns CAMPAIGN=cnpg_app_db``; what was measured is in docs/campaigns/cnpg_app_db.md.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._jobs import job_name
from postgres import App, Postgres, own_cluster
from server import INVENTORY, ROOT, play, until

HERE = Path(__file__).parent
SPACE = "pg-campaign"
CANARY, LOADED = (App(f"pg-{word}", SPACE, SPACE) for word in ("canary", "load"))
CROWD = 20
PORT = 16443
DOOR = "/run/railiance-write-killer"
WATCH = "/run/railiance-watch"
LOAD = "/run/railiance-load"


@pytest.fixture(scope="module")
def postgres(node):
    """A cluster of its own: its processes are traced, and nobody else has roles there."""
    shared = Postgres(node)
    own = Postgres(node, SPACE, SPACE)
    own.apply(*own_cluster(SPACE, SPACE, shared.image))
    own.wait_healthy()
    yield own
    own.kubectl(f"delete namespace {SPACE} {CANARY.name} {LOADED.name} --ignore-not-found")


def ansible(tmp_path, play, *arguments, **environment):
    file = tmp_path / "play.yml"
    file.write_text(json.dumps([play] if isinstance(play, dict) else play))
    done = subprocess.run(
        ["ansible-playbook", str(file), "-i", str(INVENTORY), *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout + done.stderr


# -- a door in front of the API server ---------------------------------------------------------------------------
class Door:
    """``door(n, write)``: the n-th such write from now kills its writer; ``door.writes()``: what was written since."""

    def __init__(self, node):
        self._node = node
        self.options = {"kubeconfig": f"{DOOR}/kubeconfig"}

    def __call__(self, at=0, write="NOBODY /"):
        self._ask(f"/killer/{at}/{write.replace(' ', '')}")

    def writes(self):
        return self._ask("/killer/log").splitlines()

    def _ask(self, path):
        return self._node(f"sudo python3 {DOOR}/door.py ask {PORT} {path}")


@pytest.fixture(scope="module")
def door(node):
    node(
        f"sudo install -d -m 0700 {DOOR} && sudo tee {DOOR}/door.py >/dev/null", (HERE / "write_killer.py").read_bytes()
    )
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "door",
        "clusters": [{"name": "door", "cluster": {"server": f"http://127.0.0.1:{PORT}"}}],
        "contexts": [{"name": "door", "context": {"cluster": "door", "user": "door"}}],
        "users": [{"name": "door", "user": {}}],
    }
    node(f"sudo tee {DOOR}/kubeconfig >/dev/null", json.dumps(config).encode())
    unit = "railiance-write-killer"
    node(f"sudo systemd-run --unit {unit} python3 {DOOR}/door.py /etc/rancher/k3s/k3s.yaml {PORT}")
    yield Door(node)
    # A module that is killed leaves its unpacked program behind; no secret is in there.
    node(f"sudo systemctl stop {unit}; sudo rm -rf {DOOR} /tmp/ansible_railiance.stack.cnpg_app_db_payload_*")


# -- kill -9 before each write -----------------------------------------------------------------------------------
def objects_of(postgres, app):
    """Everything of one application that this module or a test can have made."""
    kinds = "secret,job.batch,pod,deployment.apps"
    mine = postgres.kubectl(f"get {kinds} -n {app.name} -o name --ignore-not-found").split()
    shared = postgres.kubectl(f"get secret,databaserole,database -n {app.cluster_namespace} -o name").split()
    found = [*mine, *(name for name in shared if name.endswith(f"-{app.name}"))]
    # The pods of a Deployment have names of their own, and the old one may still be ending.
    return sorted({"pod/web" if name.startswith("pod/web-") else name for name in found})


def password_in(postgres, name, namespace):
    found = postgres.kubectl(f"get secret {name} -n {namespace} -o json --ignore-not-found")
    return base64.b64decode(json.loads(found)["data"]["password"]).decode() if found else ""


def web(postgres, app):
    """A Deployment with the application's Secret in its environment."""
    [container] = postgres.login_pod(app, [])["spec"]["containers"]
    labels = {"app": "web"}
    pod = {"terminationGracePeriodSeconds": 0, "containers": [{**container, "command": ["sleep", "infinity"]}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": app.name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def served_by_web(postgres, app):
    """Who the running pod is to PostgreSQL, with the credentials in its environment."""
    asked = f"psql -XAtw -d {app.database} -c 'select current_user'"
    return postgres.kubectl(f"exec -n {app.name} deploy/web -- {asked}").strip()


OPTIONS = {"create": {}, "rotate": {"rotate": True}, "delete": {"state": "absent", "drop_data": True}}


def numbered(writes):
    """Each write with how often the same one came before: that names it, however often the operator is nudged."""
    return [(write, writes[: position + 1].count(write)) for position, write in enumerate(writes)]


@pytest.mark.parametrize("step", list(OPTIONS))
def test_killed_before_each_write_the_next_run_converges(tasks, postgres, door, step):
    options, again = OPTIONS[step], {} if step == "rotate" else OPTIONS[step]
    apps = []

    def prepared():
        """An application as the step finds it; what is created is a new one each time."""
        if step == "rotate" and apps:
            return apps[0]
        app = App(f"pg-{step}-{len(apps) + 1}", SPACE, SPACE)
        apps.append(app)
        if step != "create":
            [made] = tasks("cnpg_app_db", app.options)
            assert not made.get("failed"), made
        if step == "rotate":
            postgres.apply(web(postgres, app))
            postgres.kubectl(f"rollout status deployment/web -n {app.name} --timeout=120s")
        return app

    def expected(app):
        name = f"{SPACE}-{app.name}"
        there = [f"database.postgresql.cnpg.io/{name}", f"databaserole.postgresql.cnpg.io/{name}"]
        there += [f"secret/{app.role_secret}", f"secret/{app.secret}"]
        there += ["deployment.apps/web", "pod/web"] if step == "rotate" else []
        return sorted(there) if step != "delete" else []

    try:
        whole = prepared()
        door()
        [done] = tasks("cnpg_app_db", {**whole.options, **options, **door.options})
        assert done["changed"] is True, done
        writes = numbered(door.writes())
        print(f"  {step}: {len(writes)} writes")
        for write, number in writes:
            app = prepared()
            target = write.replace(whole.name, app.name)
            before = password_in(postgres, app.role_secret, SPACE)
            # The Job's name has a hash of the application in it.
            target = re.sub(r"(/jobs/).+", rf"\g<1>{job_of(app)}", target)
            door(number, target)
            [killed] = tasks("cnpg_app_db", {**app.options, **options, **door.options})
            seen = door.writes()
            door()
            if not killed.get("failed") and "/databaseroles/" in target and number > 1:
                print(f"  {step}: the operator needed no second look this time")
                continue
            assert (killed.get("failed"), seen[-1]) == (True, f"{target} (killed before)"), (killed, seen)
            between = password_in(postgres, app.role_secret, SPACE)
            start = time.monotonic()
            done, repeated = tasks("cnpg_app_db", *(2 * [{**app.options, **again}]))
            seconds = time.monotonic() - start
            assert not done.get("failed"), (seen, done["msg"])
            assert repeated["changed"] is False, (seen, repeated["plan"])
            until(lambda app=app: objects_of(postgres, app) == expected(app), f"{target}: something is left or missing")
            if step == "delete":
                assert postgres.exists(app) == {"role": False, "database": False}
            else:
                after = password_in(postgres, app.role_secret, SPACE)
                assert after
                assert between in ("", after), f"{target}: the password was lost"
                assert after == password_in(postgres, app.secret, app.name)
                assert done["proof"]["user"] == app.database
            if step == "rotate":
                written = any(app.role_secret in one for one in seen[:-1])
                assert (between != before) is written, "the new password is there when it was written, not earlier"
                assert served_by_web(postgres, app) == app.database
            print(f"  {step}: {number}. {target}: completed in {seconds:.1f} s, with a repetition", flush=True)
    finally:
        names = " ".join(app.name for app in apps)
        postgres.kubectl(f"delete namespace {names} --ignore-not-found --wait=false")


def job_of(app):
    return job_name(app.name, "database", app.cluster_namespace, app.cluster, app.database)


# -- twenty at once ----------------------------------------------------------------------------------------------
def crowd_play(apps, **options):
    """One task, as many hosts as applications, all of them this node: as many processes at once."""
    how = ("ansible_host", "ansible_user", "ansible_ssh_private_key_file", "ansible_ssh_common_args")
    host = {"name": "crowd-{{ item.app }}", "groups": "crowd", "wanted": "{{ item }}"}
    host |= {key: "{{ hostvars[inventory_hostname]['" + key + "'] }}" for key in how}
    make = {"name": "Make a host of each", "ansible.builtin.add_host": host, "loop": [app.options for app in apps]}
    arguments = "{{ wanted | combine(further) }}"
    provision = {"name": "Provision", "railiance.stack.cnpg_app_db": arguments, "vars": {"further": options}}
    return [
        {"hosts": "stack", "gather_facts": False, "tasks": [make]},
        play(provision, hosts="crowd", module_defaults={}),
    ]


def logins(cluster, apps):
    """Who each application is to PostgreSQL, over TCP with the Secret in its namespace."""
    listed = json.loads(cluster.kubectl("get secret -A -l app.kubernetes.io/part-of=railiance-stack -o json"))["items"]
    urls = {one["metadata"]["namespace"]: one["data"].get("DATABASE_URL", "") for one in listed}
    lines = "".join(f"{base64.b64decode(urls[app.name]).decode()}\n" for app in apps)
    ask = 'while read -r url; do psql -XAtw -d "$url" -c "select current_user" </dev/null; done'
    said = cluster.kubectl(
        f"exec -i -n {cluster.namespace} {cluster.cluster}-1 -c postgres -- sh -c '{ask}'", lines.encode()
    )
    return said.split()


@pytest.mark.parametrize("role_api", ["inline", "databaserole"])
def test_twenty_at_once(tmp_path, node, postgres, door, role_api):
    namespace = f"pg-crowd-{role_api}"
    cluster = Postgres(node, "pg-crowd", namespace)
    apps = [App(f"pg-crowd-{number:02}", "pg-crowd", namespace) for number in range(CROWD)]
    parameters = {"parameters": {"max_connections": "100", "shared_buffers": "32MB"}}
    cluster.apply(*own_cluster("pg-crowd", namespace, postgres.image, postgresql=parameters))
    try:
        cluster.wait_healthy()
        door()
        start = time.monotonic()
        play = crowd_play(apps, role_api=role_api, wait_timeout=300, **door.options)
        # sshd turns some of that many away at once; nothing of the module has run then.
        ansible(tmp_path, play, "--forks", str(CROWD), ANSIBLE_SSH_RETRIES="5")
        seconds = time.monotonic() - start
        writes = door.writes()
        of_cluster = [write for write in writes if "/clusters/" in write]
        met = [write for write in of_cluster if write.endswith("(409)")]
        print(
            f"{role_api}: {CROWD} at once in {seconds:.0f} s; {len(writes)} writes, {len(of_cluster)} of the Cluster,"
        )
        print(f"  {len(met)} of them answered with 409")
        assert (len(met) >= 1) is (role_api == "inline")
        assert sorted(logins(cluster, apps)) == [app.database for app in apps]
        if role_api == "inline":
            roles = cluster.get("cluster", "pg-crowd", namespace)["spec"]["managed"]["roles"]
            assert sorted(role["name"] for role in roles) == [app.database for app in apps]
    finally:
        names = " ".join([namespace, *(app.name for app in apps)])
        postgres.kubectl(f"delete namespace {names} --ignore-not-found")


# -- a password that is watched ----------------------------------------------------------------------------------
@pytest.fixture
def strace(node):
    """strace in a folder of its own: nothing is installed on the server."""
    node(
        f"sudo sh -eu -c 'mkdir -p {WATCH}; chmod 0755 {WATCH}; cd {WATCH};"
        " apt-get download strace libunwind8 >/dev/null 2>&1; for p in *.deb; do dpkg -x $p .; done'"
    )
    library = node(f"dirname $(sudo find {WATCH} -name libunwind-ptrace.so.0 | head -n 1)").strip()
    yield f"{WATCH}/usr/bin/strace -f -qq -e trace=execve -s 100000", library
    node(f"sudo rm -rf {WATCH}")


def test_a_canary_is_seen_nowhere(tmp_path, node, postgres, strace):
    """One password is given from outside, with characters that are written differently in URLs; one is generated."""
    command, library = strace
    # Of the module and its children the environment, too; a pod has its Secret there, as every application has.
    traced = f"{command} -v -E LD_LIBRARY_PATH= -o {WATCH}/module /opt/railiance/venv/bin/python"
    wrapper = f'#!/bin/sh\nLD_LIBRARY_PATH={library} exec {traced} "$@"\n'
    node(f"sudo install -m 0755 /dev/stdin {WATCH}/python", wrapper.encode())
    first = "canary-" + os.urandom(8).hex() + "/+=%@"
    postgres.forget(CANARY)
    postgres.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": CANARY.role_secret, "namespace": SPACE},
            "type": "kubernetes.io/basic-auth",
            "stringData": {"username": CANARY.database, "password": first},
        }
    )
    # The primary's pod: the ancestor of its processes that containerd started. A new pod: containerd's own children.
    shim = node(
        f"pid=$(pgrep -o -f 'postgres: {SPACE}'); while [ \"$pid\" -gt 1 ] && ! grep -q shim /proc/$pid/comm;"
        " do pid=$(awk '/^PPid/ {print $2}' /proc/$pid/status); done; echo $pid"
    ).strip()
    assert int(shim) > 1
    node(
        f"sudo systemd-run --unit railiance-watch --setenv=LD_LIBRARY_PATH={library}"
        f" {command} -o {WATCH}/pods -p {shim} -p $(pidof containerd)"
    )
    until(lambda: node(f"grep -c TracerPid:.*[1-9] /proc/{shim}/status || true").strip() == "1", "strace attached")
    since = time.time()
    facts = {
        "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(tmp_path / "facts"),
    }
    try:
        outputs = [
            ansible(tmp_path, canary_play(**options), "-vvvv", "--diff", **facts) for options in ({}, {"rotate": True})
        ]
    finally:
        node("sudo systemctl stop railiance-watch")
    second = password_in(postgres, CANARY.role_secret, SPACE)
    assert second not in ("", first)
    places = {
        "execve of the module and its children": node(f"sudo cat {WATCH}/module"),
        "execve in the primary's pod and in new pods": node(f"sudo cat {WATCH}/pods"),
        "-vvvv output with --diff": "".join(outputs),
        "fact cache": "".join(path.read_text() for path in (tmp_path / "facts").glob("*")),
        "events": postgres.kubectl("get events -A -o json"),
        "objects other than Secrets": objects_text(postgres),
        "PostgreSQL's log": json.dumps(postgres.log(since)),
        "the operator's log": postgres.kubectl(
            f"logs -n cnpg-system deploy/cnpg-controller-manager --since={int(time.time() - since) + 2}s"
        ),
        "journal of the node": node(f"sudo journalctl --since=@{int(since)} -o cat --no-pager"),
    }
    for place, words in {
        "execve of the module and its children": "/opt/railiance/venv/bin/python",
        "execve in the primary's pod and in new pods": "pg_isready",
        "-vvvv output with --diff": "closed_now",
        "fact cache": "closed_now",
        "objects other than Secrets": f"{SPACE}-{CANARY.name}",
    }.items():
        assert words in places[place], f"{place} holds what was looked for"
    forms = [form for word in (first, second) for form in forms_of(word)]
    for place, text in places.items():
        found = [form[:8] for form in forms if form in text]
        print(f"  {place}: {len(text)} characters, {len(found)} hits")
        assert found == [], place
    # The words go in by standard input: the search itself must not put them on a command line.
    left = node("sudo grep -rlsF -f - /tmp /var/tmp /dev/shm /root /home || true", "\n".join(forms).encode())
    assert left.split() == []
    postgres.forget(CANARY)


def forms_of(word):
    return [word, quote(word, safe=""), base64.b64encode(word.encode()).decode()]


def canary_play(**options):
    arguments = {"kubeconfig": "/etc/rancher/k3s/k3s.yaml", **CANARY.options, **options}
    return play(
        {"name": "Provision", "railiance.stack.cnpg_app_db": arguments, "register": "result"},
        {"name": "Keep", "ansible.builtin.set_fact": {"kept": "{{ result }}", "cacheable": True}},
        vars={"ansible_python_interpreter": f"{WATCH}/python"},
    )


def objects_text(postgres):
    kinds = postgres.kubectl("api-resources --verbs=list -o name").split()
    listed = ",".join(kind for kind in kinds if kind not in ("secrets", "events", "events.events.k8s.io"))
    return postgres.kubectl(f"get {listed} -A -o json --ignore-not-found")


# -- a rotation under load ---------------------------------------------------------------------------------------
def test_rotation_under_load(task, node, postgres):
    """Requests over connections that are kept do not notice; those that open one fail for a time that is returned."""
    assert task("cnpg_app_db", **LOADED.options)["changed"]
    pull = {"copy": {"namespace": "gitea", "name": "gitea-pull", "key": ".dockerconfigjson"}}
    kind = "kubernetes.io/dockerconfigjson"
    copied = task("kube_secret", name="gitea-pull", namespace=LOADED.name, type=kind, data={".dockerconfigjson": pull})
    assert not copied.get("failed"), copied
    django = postgres.get("deployment", "vergabe-teilnahme", "vergabe-teilnahme")["spec"]["template"]["spec"]
    image = django["containers"][0]["image"]
    postgres.apply(*serving(LOADED, image, (HERE / "kept_and_fresh.py").read_text()))
    postgres.kubectl(f"rollout status deployment/web -n {LOADED.name} --timeout=120s")
    address = postgres.get("service", "web", LOADED.name)["spec"]["clusterIP"]
    node(f"sudo install -d {LOAD} && sudo tee {LOAD}/load.py >/dev/null", (HERE / "kept_and_fresh.py").read_bytes())
    try:
        node(
            f"sudo systemd-run --unit railiance-load -p StandardOutput=file:{LOAD}/told"
            f" python3 {LOAD}/load.py ask {address}:8000 {LOAD}/stop"
        )
        time.sleep(3)  # the load before and after belongs to the picture
        done = task("cnpg_app_db", **LOADED.options, generation=1)
        time.sleep(3)
        node(f"sudo touch {LOAD}/stop")
        said = until(lambda: node(f"sudo cat {LOAD}/told"), "the load said what it saw")
    finally:
        node(f"sudo touch {LOAD}/stop; sudo systemctl stop railiance-load 2>/dev/null; sudo rm -rf {LOAD}")
    told = json.loads(said)
    window = done["rotation"]["window_seconds"]
    print(f"  rotation: {json.dumps(told)}; window returned: {window} s")
    assert told["kept"]["requests"] > 100
    assert told["kept"]["failed"] == 0, told
    assert told["fresh"]["failed"] > 0, "a role has one password"
    assert told["fresh"]["span"] <= window + 1
    assert all("password authentication failed" in words for words in told["fresh"]["words"]), told


def serving(app, image, program):
    labels = {"app": "web"}
    container = {
        "name": "web",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", program, "serve"],
        "env": [{"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": app.secret, "key": "DATABASE_URL"}}}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8000}, "periodSeconds": 1},
        # Traffic is led elsewhere before the server stops.
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
    }
    pod = {"imagePullSecrets": [{"name": "gitea-pull"}], "containers": [container]}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": app.name},
            "spec": {
                "replicas": 1,
                "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": app.name},
            "spec": {"selector": labels, "ports": [{"port": 8000}]},
        },
    ]
