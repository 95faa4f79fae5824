from django.conf import settings
from django.core.validators import FileExtensionValidator
from django.db import migrations, models

import ausschreibungen.models


class Migration(migrations.Migration):
    dependencies = [
        ("ausschreibungen", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Unterlage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("bezeichnung", models.CharField(max_length=200, verbose_name="Bezeichnung")),
                (
                    "datei",
                    models.FileField(
                        max_length=200,
                        upload_to=ausschreibungen.models.storage_name,
                        validators=[FileExtensionValidator(ausschreibungen.models.FILE_TYPES)],
                        verbose_name="Datei",
                    ),
                ),
                ("hochgeladen_am", models.DateTimeField(auto_now_add=True, verbose_name="hochgeladen am")),
                (
                    "ausschreibung",
                    models.ForeignKey(
                        on_delete=models.CASCADE,
                        related_name="unterlagen",
                        to="ausschreibungen.ausschreibung",
                        verbose_name="Ausschreibung",
                    ),
                ),
                (
                    "hochgeladen_von",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.SET_NULL,
                        related_name="unterlagen",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="hochgeladen von",
                    ),
                ),
            ],
            options={
                "verbose_name": "Unterlage",
                "verbose_name_plural": "Unterlagen",
                "ordering": ["bezeichnung", "pk"],
            },
        ),
    ]
