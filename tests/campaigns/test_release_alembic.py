# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alembic's revisions through releases of State Hub: done, taken back, refused, failing. One story, in order."""

from __future__ import annotations

import json

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._http import Http
from shop import Application, example_with

APP = "rel-hub"
TREE = f"/home/operator/{APP}"
ENTRY = {
    "runtime": "generic",
    "image": {
        "build_args": {"PYTHON_IMAGE": "docker-archive:/opt/railiance/bundle/base-images/python-3.13-slim.tar"},
        "build_secrets": {"build_ca": "/etc/ssl/certs/ca-certificates.crt"},
    },
    "migrate": {"driver": "alembic"},
    "database": {"cluster": "apps-pg"},
    "generated_environment": {"API_TOKEN": 40},
    "smoke": [{"path": "/states", "content_type": "application/json"}],
}
ROWS = """
set role rel_hub;
insert into state select 'k' || i, '{"v": 1}', i, now() from generate_series(1, 30) i;
insert into change (key, value, revision, changed_at) select 'k' || i, '1', i, now() from generate_series(1, 60) i
"""
REVISION = '''
"""{name}"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "{name}"
down_revision = "{before}"
SQL = "ALTER TABLE state DROP COLUMN note"


def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    {downgrade}
'''
ADDS = (
    'op.create_table("tag", sa.Column("name", sa.Text(), primary_key=True))\n'
    '    op.add_column("state", sa.Column("note", sa.Text()))\n'
    "    op.execute(\"INSERT INTO tag SELECT DISTINCT 'tag ' || revision FROM state\")"
)
TAKES_BACK = 'op.drop_column("state", "note")\n    op.drop_table("tag")'
FAILS = (
    'op.create_table("half", sa.Column("id", sa.Integer()))\n'
    '    op.execute("UPDATE state SET revision = revision + 1")\n'
    '    op.execute("INSERT INTO half SELECT 1 / (revision - 2) FROM state")'
)


class Hub(Application):
    """State Hub from a repository of its own on the node."""

    example = "state-hub"

    def commit(self, name, before, upgrade, downgrade):
        """A commit that adds a revision to the one that is checked out."""
        text = REVISION.lstrip().format(name=name, before=before, upgrade=upgrade, downgrade=downgrade)
        self.node(f"cat > {TREE}/migrations/versions/{name}.py", text.encode())
        identity = "-c user.name=tests -c user.email=tests@lab.test"
        self.node(f"cd {TREE} && git add -A && git {identity} commit -qm {name}")
        return self.node(f"git -C {TREE} rev-parse HEAD").strip()

    def promote(self, commit, *arguments):
        return self.play("promote", "-e", f"commit={commit}", *arguments)

    def at(self):
        return self.sql("select version_num from alembic_version")


@pytest.fixture(scope="module")
def hub(task, node, kubectl, playbook, lab, tmp_path_factory):
    with example_with(Hub, task, node, kubectl, playbook, lab, tmp_path_factory.mktemp("hub"), APP, ENTRY) as hub:
        yield hub


@pytest.fixture
def answers(hub, lab):
    http = Http(ca_file=lab["ca_file"], address=lab["node_address"])
    return lambda: http.request("GET", f"{hub.site}/states").json()


def test_a_revision_is_done_taken_back_to_the_one_before_and_done_again(hub, lab, answers):
    first = hub.promote(lab["apps"]["state-hub"]["commit"])
    assert first.rc == 0, first.messages
    hub.sql(ROWS)
    before, old = hub.checksums(), hub.image()
    adds = hub.commit("0003", "0002", ADDS, TAKES_BACK)
    done = hub.promote(adds)
    assert done.rc == 0, done.messages
    after, new = hub.checksums(), hub.image()
    assert (hub.at(), new == old, sorted(after)) == ("0003", False, ["change", "state", "tag"])
    assert after["change"] == before["change"]
    assert hub.history()[0]["restore_point"]["reason"] == "before 0003"
    back = hub.play("rollback")
    assert back.rc == 0, back.messages
    assert (hub.at(), hub.image(), hub.checksums()) == ("0002", old, before)
    assert (hub.left_behind(), len(answers())) == ([], 30)
    again = hub.promote(adds)
    assert again.rc == 0, again.messages
    assert (hub.at(), hub.image(), hub.checksums()) == ("0003", new, after)
    print("alembic, added:", json.dumps({"before": before, "after": after}))


def test_sql_that_goes_by_a_name_and_destroys_is_refused(hub, answers):
    before, image, revision = hub.checksums(), hub.image(), hub.history()[0]["revision"]
    drops = hub.commit("0004", "0003", "op.execute(SQL)", 'op.add_column("state", sa.Column("note", sa.Text()))')
    refused = hub.promote(drops)
    hub.node(f"git -C {TREE} reset -q --hard HEAD~1")
    assert refused.rc != 0
    assert "0004: execute ALTER TABLE state DROP COLUMN note (the SQL drops" in refused.messages[0]
    assert '"app_release_approved": ["0004"]' in refused.messages[0]
    assert (hub.at(), hub.image(), hub.checksums()) == ("0003", image, before)
    assert (hub.history()[0]["revision"], hub.left_behind(), len(answers())) == (revision, [], 30)


def test_a_revision_that_fails_half_way_leaves_the_old_version_and_every_row(hub, answers):
    before, image = hub.checksums(), hub.image()
    fails = hub.commit("0005", "0003", FAILS, 'op.drop_table("half")')
    failed = hub.promote(fails)
    hub.node(f"git -C {TREE} reset -q --hard HEAD~1")
    assert failed.rc != 0
    assert "division by zero" in failed.messages[0]
    assert (hub.at(), hub.image(), hub.checksums()) == ("0003", image, before)
    # The application's own sessions have no name.
    assert [one for one in hub.sessions() if not one.startswith(": ")] == []
    assert (hub.left_behind(), len(answers())) == ([], 30)
    print("alembic, half:", failed.messages[0])
