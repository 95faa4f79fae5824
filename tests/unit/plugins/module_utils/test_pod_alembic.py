from __future__ import annotations

import textwrap

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._pod_alembic import Revision
from ansible_collections.railiance.stack.plugins.module_utils._pod_rows import literals


def revision(upgrade, downgrade="op.execute('x')"):
    def body(text):
        return textwrap.indent(textwrap.dedent(text), "    ")

    return Revision(f"def upgrade():\n{body(upgrade)}\n\ndef downgrade():\n{body(downgrade)}\n")


def said(found):
    marks = [name for name in ("reversible", "destructive", "compatible") if found[name]]
    return found["description"], " ".join(marks), found["reason"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "op.drop_table('entry')",
            ("drop_table entry", "reversible destructive", "drops table entry; its rows do not come back"),
        ),
        (
            "with op.batch_alter_table('entry') as batch:\n    batch.drop_column('note')",
            ("drop_column note", "reversible destructive", "drops column note; its values do not come back"),
        ),
        ("op.add_column('entry', sa.Column('note', sa.Text))", ("add_column entry, note", "reversible compatible", "")),
        ("op.create_index('i', 'entry')", ("create_index i, entry", "reversible compatible", "")),
        (
            "op.alter_column('entry', 'note', type_=sa.Integer())",
            ("alter_column entry, note", "reversible destructive", "converts the values: what does not fit is lost"),
        ),
        (
            "op.execute('delete from entry')",
            ("execute delete from entry", "reversible destructive", "the SQL drops, truncates or deletes"),
        ),
        (
            "connection = op.get_bind()\nconnection.execute(sa.text('update entry set x = 1'))",
            (
                "python update entry set x = 1",
                "reversible compatible",
                "What it does to rows is not described; it declares a way back",
            ),
        ),
    ],
)
def test_what_a_revision_does(text, expected):
    [found] = revision(text).operations(False, set())
    assert said(found) == expected


@pytest.mark.parametrize("downgrade", ["pass", "'''Nothing.'''", "raise NotImplementedError"])
def test_a_downgrade_that_does_nothing_is_no_way_back(downgrade):
    [found] = revision("op.execute('update entry set x = 1')", downgrade).operations(False, set())
    assert said(found)[1:] == (
        "destructive compatible",
        "What it does to rows is not described, and it declares no way back",
    )


def test_functions_of_the_file_are_followed():
    file = Revision("def fill(x):\n    op.drop_table('entry')\n\ndef upgrade():\n    fill(1)\n")
    assert [one["description"] for one in file.operations(False, set())] == ["drop_table entry"]


def test_a_table_that_the_same_run_creates_has_nothing_to_lose():
    found = revision("op.create_table('entry')\nop.drop_column('entry', 'note')").operations(False, set())
    assert [one["destructive"] for one in found] == [False, False]


def test_undoing_loses_what_was_written_since():
    [found] = revision("op.create_table('entry')", "op.drop_table('entry')").operations(True, set())
    assert found["reason"] == "drops table entry with every row written since"


def test_words_that_could_be_a_password_come_first():
    source = "NAME = 'demo'\nSOME = 'a long sentence'\nPASSWORD = 'Tr0ub4dor'\ncreate_user('x', 'mail', 'hunter22')\n"
    assert literals(source)[:3] == ["Tr0ub4dor", "mail", "hunter22"]
    assert "demo" in literals(source)
    assert "a long sentence" not in literals(source)
