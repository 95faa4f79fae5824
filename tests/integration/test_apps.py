"""The day-2 playbooks on the converged Django application; other kinds of application are a campaign."""

from __future__ import annotations

import base64

DJANGO = "vergabe-teilnahme"


def test_names_that_mean_nothing_are_answered_with_those_that_do(playbook):
    unknown = playbook("playbooks/restart.yml", "-e", "app=nope")
    assert unknown.rc != 0
    assert "stack_apps has no application nope. It has: vergabe-teilnahme." in unknown.messages[0]
    entry = '{"stack_apps": [{"name": "it-never", "private": true, "image": {"reference": "r/o/i@sha256:0"}}]}'
    missing = playbook("playbooks/logs.yml", "-e", "app=it-never", "-e", entry)
    assert missing.rc != 0
    assert "it-never is not deployed: there is no Deployment it-never/it-never." in missing.messages[0]


def test_a_declared_seed_runs(playbook):
    declared = playbook("playbooks/seed.yml", "-e", f"app={DJANGO}")
    assert declared.rc == 0, declared.messages


def test_a_superuser_comes_from_a_file_that_only_its_owner_reads(playbook, kubectl, tmp_path):
    file = tmp_path / "password"
    file.write_text("canary-Kennwort-4711")
    file.chmod(0o644)
    arguments = ("-e", f"app={DJANGO}", "-e", "username=it-apps", "-e", f"password_file={file}")
    refused = playbook("playbooks/superuser.yml", *arguments)
    assert refused.rc != 0
    assert "can be read by others" in refused.messages[0]
    file.chmod(0o600)

    def in_django(code):
        script = f"from django.contrib.auth.models import User; found = User.objects.filter(username='it-apps'); {code}"
        packed = base64.b64encode(script.encode()).decode()
        shell = f"echo {packed} | base64 -d | python manage.py shell -v 0"
        return kubectl(f"-n {DJANGO} exec deploy/{DJANGO} -- sh -c '{shell}'")

    try:
        made = playbook("playbooks/superuser.yml", *arguments, "-vvv")
        assert made.rc == 0, made.messages
        assert "canary-Kennwort" not in made.output
        assert in_django("print(found.get().check_password('canary-Kennwort-4711'))").strip() == "True"
        again = playbook("playbooks/superuser.yml", *arguments)
        assert (again.rc, again.changed) == (0, [])
    finally:
        in_django("found.delete()")
        kubectl(f"-n {DJANGO} delete secret {DJANGO}-superuser --ignore-not-found")
