from __future__ import annotations

import textwrap

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._pod_revision import Revision
from ansible_collections.railiance.stack.plugins.module_utils._pod_rows import literals


def revision(upgrade, downgrade="op.execute('x')"):
    def body(text):
        return textwrap.indent(textwrap.dedent(text), "    ")

    return Revision(
        f"import sqlalchemy as sa\n\ndef upgrade():\n{body(upgrade)}\n\ndef downgrade():\n{body(downgrade)}\n"
    )


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
                "execute update entry set x = 1",
                "reversible compatible",
                "What it does to rows is not described; the revision declares a way back",
            ),
        ),
    ],
)
def test_what_a_revision_does(text, expected):
    [found] = revision(text).operations(False, set())
    assert said(found) == expected


@pytest.mark.parametrize(
    "downgrade",
    ["pass", "'''Nothing.'''", "raise NotImplementedError", "print('no')\nraise ValueError", "return", "print('no')"],
)
def test_a_downgrade_that_does_nothing_is_no_way_back(downgrade):
    [found] = revision("op.execute('update entry set x = 1')", downgrade).operations(False, set())
    assert said(found)[1:] == (
        "destructive compatible",
        "What it does to rows is not described, and it declares no way back",
    )


UNREAD = "cannot be read from the revision, so it counts as destroying"
DROPS = "drops table entry; its rows do not come back"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # SQL by name, and what becomes of it
        ("op.execute(SQL)", ("execute drop table entry", "the SQL drops, truncates or deletes")),
        ("op.execute(sa.text(SQL))", ("execute drop table entry", "the SQL drops, truncates or deletes")),
        ("op.execute(f'drop table {NAME}')", ("execute drop table entry", "the SQL drops, truncates or deletes")),
        (
            "for one in ALL:\n    op.execute(one)",
            ("execute select 1 truncate x", "the SQL drops, truncates or deletes"),
        ),
        ("run('drop table x')", ("execute drop table x", "the SQL drops, truncates or deletes")),
        ("op.get_bind().execute(entry.delete())", ("execute delete from", "the SQL drops, truncates or deletes")),
        ("op.execute(OTHER)", ("execute OTHER", f"What the SQL is {UNREAD}")),
        ("op.execute(f'{verb} table x')", ("execute f'{verb} table x'", f"What the SQL is {UNREAD}")),
        ("op.execute(open('x.sql').read())", ("execute open('x.sql').read()", f"What the SQL is {UNREAD}")),
        # op by other names
        ("drop_table('entry')", ("drop_table entry", DROPS)),
        ("gone('entry')", ("drop_table entry", DROPS)),
        ("o.drop_table(NAME)", ("drop_table entry", DROPS)),
        ("alembic.op.drop_table('entry')", ("drop_table entry", DROPS)),
        ("helper(op)", ("drop_table entry", DROPS)),
        ("mine = op.drop_table\nmine('entry')", ("drop_table entry", DROPS)),
        # what is not in the file
        ("outside(op)", ("python outside(op)", f"What this code does {UNREAD}")),
        ("views.refresh()", ("python views.refresh()", f"What this code does {UNREAD}")),
        ("getattr(op, 'drop_table')('x')", ("python getattr(op, 'drop_table')", f"What this code does {UNREAD}")),
        ("with Session(op.get_bind()) as s:\n    s.query(X)", ("python s.query(X)", f"What this code does {UNREAD}")),
        ("for one in STEPS:\n    one()", ("python one()", f"What this code does {UNREAD}")),
        ("op.invoke(x)", ("invoke x", "What invoke does is not known here, so it counts as destroying")),
        (
            "sa.Enum(name='x').drop(op.get_bind())",
            ("python sa.Enum(name='x').drop(op.get_bind())", "drops what it stands for"),
        ),
    ],
)
def test_what_goes_by_another_name_or_cannot_be_read_destroys(text, expected):
    head = textwrap.dedent(
        """
        import alembic
        import sqlalchemy as sa
        from alembic import op, op as o
        from alembic.op import drop_table, drop_table as gone
        from sqlalchemy.orm import Session
        from app import OTHER, outside, views
        NAME = "entry"
        SQL = "drop " + f"table {NAME}"
        ALL = ["select 1", "truncate x"]
        STEPS = [views.refresh]

        def helper(operations):
            operations.drop_table("entry")

        def run(sql):
            op.execute(sql)
        """
    )
    body = textwrap.indent(text, "    ")
    file = Revision(f"{head}\ndef upgrade():\n{body}\n\ndef downgrade():\n    op.create_table('entry')\n")
    [found] = file.operations(False, set())
    assert found["destructive"]
    assert (found["description"], found["reason"]) == expected


@pytest.mark.parametrize(
    "text",
    [
        "inspector = sa.inspect(op.get_bind())\nif inspector.has_table('x'): return",
        "with op.get_context().autocommit_block():\n    pass",
        "sa.Enum(name='x').create(op.get_bind(), checkfirst=True)",
        "if op.get_bind().dialect.name.startswith('postgresql'):\n    pass",
        "import logging\nlogging.getLogger().info('x')",
    ],
)
def test_what_only_looks_or_adds_is_no_operation(text):
    assert revision(text).operations(False, set()) == []


def test_an_upgrade_that_stands_elsewhere_is_not_known():
    [found] = Revision("from other import upgrade, downgrade").operations(False, set())
    assert said(found) == (
        "upgrade",
        "reversible destructive compatible",
        "upgrade is not written in the revision, so it counts as destroying",
    )


def test_tables_without_a_known_name_are_not_taken_for_each_other():
    found = revision("op.create_table(A)\nop.drop_table(B)").operations(False, set())
    assert [one["destructive"] for one in found] == [False, True]
    batch = "op.create_table('note')\nwith op.batch_alter_table('entry') as batch:\n    batch.drop_column('note')"
    assert [one["destructive"] for one in revision(batch).operations(False, set())] == [False, True]


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
