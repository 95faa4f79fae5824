from __future__ import annotations

import django
import pytest
from ansible_collections.railiance.stack.plugins.module_utils._pod_django import Judge, narrowing, public_settings
from django.conf import settings
from django.db import models
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.migrations import operations as op
from django.db.migrations.state import ModelState, ProjectState
from django.test.utils import override_settings

if not settings.configured:
    settings.configure()
    django.setup()

ENGINE = "django.db.backends.postgresql"
CONNECTION = DatabaseWrapper({"ENGINE": ENGINE, "NAME": "none", "OPTIONS": {}, "TIME_ZONE": None})
COMPUTED = models.GeneratedField(expression=models.F("price"), output_field=models.FloatField(), db_persist=True)


def state(**options):
    found = ProjectState()
    fields = [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=50)),
        ("code", models.CharField(max_length=50, unique=True)),
        ("note", models.TextField(null=True)),
        ("price", models.DecimalField(max_digits=10, decimal_places=4)),
        ("total", COMPUTED),
        ("owner", models.ForeignKey("shop.Item", models.CASCADE)),
        ("tags", models.ManyToManyField("shop.Item")),
    ]
    found.add_model(ModelState("shop", "Item", fields, options))
    return found


def judge(operation, backwards=False, fresh=(), **options):
    [found] = Judge(CONNECTION, "shop", backwards, set(fresh)).operation(operation, state(**options))
    return found


def said(found):
    marks = [name for name in ("reversible", "destructive", "compatible") if found[name]]
    return " ".join(marks), found["reason"]


def fill(apps, editor):
    """A data migration."""
    apps.get_model("shop", "Item")


def empty(apps, editor):
    """Its way back."""
    apps.get_model("shop", "Item")


SAFE = "reversible compatible"
GONE = "reversible destructive"
IDLE = "its way back does nothing: what it did to rows and tables stays"
WITHOUT = "does to rows cannot be read from it, and it declares no way back"
CONSTRAINT = models.CheckConstraint(condition=models.Q(name="x"), name="named_x")


@pytest.mark.parametrize(
    ("operation", "forward", "backward"),
    [
        (
            op.CreateModel("New", [("id", models.BigAutoField(primary_key=True))]),
            (SAFE, ""),
            (GONE, "drops table shop_new with every row written since"),
        ),
        (
            op.DeleteModel("Item"),
            (GONE, "drops table shop_item; its rows do not come back"),
            (SAFE, "creates table shop_item again, without its rows"),
        ),
        (
            op.AddField("Item", "extra", models.TextField(null=True)),
            (SAFE, ""),
            (GONE, "drops column extra with what was written since"),
        ),
        (
            op.AddField("Item", "extra", models.IntegerField(default=0)),
            (
                "reversible",
                "column extra must be filled and the database has no default for it: "
                "a version that does not know it cannot insert rows",
            ),
            (GONE, "drops column extra with what was written since"),
        ),
        (
            op.AddField("Item", "extra", models.IntegerField(db_default=0)),
            (SAFE, ""),
            (GONE, "drops column extra with what was written since"),
        ),
        (
            op.RemoveField("Item", "note"),
            (GONE, "drops column note; its values do not come back"),
            (SAFE, "adds column note again, without its values"),
        ),
        (
            op.RemoveField("Item", "tags"),
            (GONE, "drops the links of tags; its values do not come back"),
            (SAFE, "adds the links of tags again, without its values"),
        ),
        (
            op.RemoveField("Item", "total"),
            ("reversible", "drops a column that the database computes"),
            (SAFE, "adds column total again, without its values"),
        ),
        (
            op.AlterField("Item", "name", models.CharField(max_length=20)),
            ("reversible", "fails when a value is longer than 20"),
            (SAFE, ""),
        ),
        (
            op.AlterField("Item", "note", models.TextField()),
            ("reversible", "empty values get the default; it fails when there is none"),
            (SAFE, ""),
        ),
        (
            op.AlterField("Item", "code", models.CharField(max_length=50)),
            (GONE, "drops a unique constraint: rows written since may stand in the way back"),
            (SAFE, "fails when values repeat"),
        ),
        (
            op.AlterField("Item", "owner", models.BigIntegerField()),
            (GONE, "drops the foreign key"),
            (SAFE, "fails when a value has no counterpart in the other table"),
        ),
        (
            op.AddConstraint("Item", CONSTRAINT),
            (SAFE, "fails when rows violate named_x"),
            (f"{GONE} compatible", "drops constraint named_x"),
        ),
        (
            op.AddIndex("Item", models.Index(fields=["name"], name="by_name")),
            (SAFE, ""),
            (SAFE, ""),
        ),
        (
            op.RenameField("Item", "name", "title"),
            ("reversible", "renames a column: a version that knows only the other name fails"),
            ("reversible", "renames a column: a version that knows only the other name fails"),
        ),
        (
            op.RunPython(fill),
            ("destructive compatible", f"What Python code (fill) {WITHOUT}"),
            ("destructive compatible", f"What Python code {WITHOUT}"),
        ),
        (
            op.RunPython(fill, op.RunPython.noop),
            (SAFE, f"What Python code (fill) does to rows cannot be read from it; {IDLE}"),
            (SAFE, "does nothing in this direction; what was written stays"),
        ),
        (
            op.RunPython(fill, lambda apps, editor: None),
            (SAFE, f"What Python code (fill) does to rows cannot be read from it; {IDLE}"),
            (SAFE, "does nothing in this direction; what was written stays"),
        ),
        (
            op.RunPython(fill, empty),
            (SAFE, "What Python code (fill) does to rows cannot be read from it; it declares a way back"),
            (SAFE, "What Python code (empty) does to rows cannot be read from it; it declares a way back"),
        ),
        (
            op.RunSQL("-- drop table\nupdate x set y = 1", op.RunSQL.noop),
            (SAFE, f"What raw SQL does to rows is not described; {IDLE}"),
            (SAFE, "does nothing in this direction; what was written stays"),
        ),
        (
            op.RunSQL("drop table x", "-- nothing to do"),
            (GONE, f"the SQL drops, truncates or deletes; {IDLE}"),
            (SAFE, "does nothing in this direction; what was written stays"),
        ),
        (
            op.RunSQL([("delete from x where y = %s", [1])], "select 1"),
            (GONE, "the SQL drops, truncates or deletes"),
            (SAFE, "What raw SQL does to rows is not described; it declares a way back"),
        ),
        (
            op.RunSQL("drop index x"),
            ("destructive compatible", "What raw SQL does to rows is not described, and it declares no way back"),
            ("destructive compatible", "What raw SQL does to rows is not described, and it declares no way back"),
        ),
        (
            op.SeparateDatabaseAndState([op.RemoveField("Item", "note")], []),
            (GONE, "drops column note; its values do not come back"),
            (SAFE, "adds column note again, without its values"),
        ),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "describe") else "",
)
def test_what_an_operation_does_forward_and_back(operation, forward, backward):
    assert said(judge(operation)) == forward
    assert said(judge(operation, backwards=True)) == backward


@pytest.mark.parametrize(
    ("way_back", "marks", "said_of_it"),
    [
        (False, "destructive compatible", "and it declares no way back"),
        # Every operation says that it can be reversed, unless it is told otherwise.
        (True, "reversible destructive compatible", "so it counts as destroying"),
    ],
)
def test_an_operation_that_nobody_knows_counts_as_destroying(way_back, marks, said_of_it):
    class Strange(op.base.Operation):
        reversible = way_back

    assert said(judge(Strange())) == (marks, f"What Strange does is not known here, {said_of_it}")


def test_operations_of_contrib_postgres_are_known_by_their_ancestors():
    class AddIndexConcurrently(op.AddIndex):
        """As django.contrib.postgres has it."""

    found = judge(AddIndexConcurrently("Item", models.Index(fields=["name"], name="by_name")))
    assert said(found) == (SAFE, "")


@pytest.mark.parametrize("options", [{"managed": False}, {"proxy": True}])
def test_a_model_without_a_table_loses_nothing(options):
    assert said(judge(op.DeleteModel("Item"), **options)) == (SAFE, "")


def test_a_table_that_the_same_run_creates_has_nothing_to_lose():
    found = judge(op.RemoveField("Item", "note"), fresh=[("shop", "item")])
    assert said(found) == (SAFE, "the same run creates the table")


@pytest.mark.parametrize(
    ("old", "new", "destructive", "reason"),
    [
        ("varchar(50)", "varchar(100)", None, None),
        ("varchar(50)", "text", None, None),
        ("integer", "bigint", None, None),
        ("bigint GENERATED BY DEFAULT AS IDENTITY", "bigint", None, None),
        ("date", "timestamp with time zone", None, None),
        ("numeric(10, 2)", "numeric(12, 2)", None, None),
        ("real", "double precision", None, None),
        ("text", "varchar(20)", True, "converts text to varchar(20): what does not fit is lost"),
        ("bigint", "integer", False, "fails when a value does not fit integer"),
        ("numeric(10, 4)", "numeric(10, 2)", True, "rounds to 2 decimal places"),
        ("numeric(10, 2)", "numeric(6, 2)", False, "fails when a value does not fit numeric(6, 2)"),
        ("double precision", "integer", True, "converts double precision to integer: what does not fit is lost"),
    ],
)
def test_a_narrower_type(old, new, destructive, reason):
    found = narrowing(old, new)
    assert (found is None) == (reason is None)
    if found:
        assert (found.get("destructive", False), found["reason"]) == (destructive, reason)


def test_the_settings_that_face_the_world():
    given = {"ALLOWED_HOSTS": ["a.org"], "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")}
    with override_settings(DEBUG=True, SETTINGS_MODULE="config.production", **given):
        assert public_settings() == {
            "module": "config.production",
            "DEBUG": True,
            "ALLOWED_HOSTS": ["a.org"],
            "CSRF_TRUSTED_ORIGINS": [],
            "SECURE_PROXY_SSL_HEADER": ["HTTP_X_FORWARDED_PROTO", "https"],
        }
    assert public_settings()["SECURE_PROXY_SSL_HEADER"] == []
