from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ausschreibungen", "0002_unterlage")]

    operations = [
        migrations.AddField(
            model_name="ausschreibung",
            name="entscheidung_bis",
            field=models.DateField(
                blank=True,
                help_text="Bis wann wir über die Teilnahme entscheiden.",
                null=True,
                verbose_name="Entscheidung bis",
            ),
        ),
    ]
