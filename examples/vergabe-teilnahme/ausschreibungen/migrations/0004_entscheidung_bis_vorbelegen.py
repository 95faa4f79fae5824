from datetime import timedelta
from zoneinfo import ZoneInfo

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from django.db.models import DateTimeField, ExpressionWrapper, F
from django.db.models.functions import TruncDate


def fill(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Give tenders entered before the field existed a decision date two weeks ahead of their deadline."""
    two_weeks_before = ExpressionWrapper(F("angebotsfrist") - timedelta(days=14), output_field=DateTimeField())
    apps.get_model("ausschreibungen", "Ausschreibung").objects.using(schema_editor.connection.alias).filter(
        entscheidung_bis__isnull=True
    ).update(entscheidung_bis=TruncDate(two_weeks_before, tzinfo=ZoneInfo("Europe/Berlin")))


class Migration(migrations.Migration):
    dependencies = [("ausschreibungen", "0003_ausschreibung_entscheidung_bis")]

    # On the way back the next migration drops the column with its values.
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
