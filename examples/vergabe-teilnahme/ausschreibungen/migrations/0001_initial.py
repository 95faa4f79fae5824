from django.core.validators import MinValueValidator
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Vergabeart",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("schluessel", models.SlugField(unique=True, verbose_name="Schlüssel")),
                ("bezeichnung", models.CharField(max_length=120, verbose_name="Bezeichnung")),
                ("rechtsgrundlage", models.CharField(max_length=60, verbose_name="Rechtsgrundlage")),
                ("oberschwelle", models.BooleanField(default=False, verbose_name="oberhalb des EU-Schwellenwerts")),
            ],
            options={
                "verbose_name": "Vergabeart",
                "verbose_name_plural": "Vergabearten",
                "ordering": ["-oberschwelle", "bezeichnung"],
            },
        ),
        migrations.CreateModel(
            name="Ausschreibung",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("titel", models.CharField(max_length=200, verbose_name="Titel")),
                ("auftraggeber", models.CharField(max_length=200, verbose_name="Auftraggeber")),
                ("vergabenummer", models.CharField(blank=True, max_length=60, verbose_name="Vergabenummer")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pruefung", "In Prüfung"),
                            ("bearbeitung", "Angebot in Bearbeitung"),
                            ("abgegeben", "Angebot abgegeben"),
                            ("zuschlag", "Zuschlag erhalten"),
                            ("absage", "Absage erhalten"),
                            ("verzicht", "Keine Teilnahme"),
                        ],
                        default="pruefung",
                        max_length=20,
                        verbose_name="Status",
                    ),
                ),
                ("angebotsfrist", models.DateTimeField(verbose_name="Angebotsfrist")),
                (
                    "auftragswert",
                    models.DecimalField(
                        blank=True,
                        decimal_places=2,
                        help_text="Netto, in Euro.",
                        max_digits=12,
                        null=True,
                        validators=[MinValueValidator(0)],
                        verbose_name="Geschätzter Auftragswert",
                    ),
                ),
                ("link", models.URLField(blank=True, verbose_name="Link zur Bekanntmachung")),
                ("notiz", models.TextField(blank=True, verbose_name="Notiz")),
                ("angelegt_am", models.DateTimeField(auto_now_add=True, verbose_name="angelegt am")),
                ("geaendert_am", models.DateTimeField(auto_now=True, verbose_name="geändert am")),
                (
                    "vergabeart",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=models.PROTECT,
                        related_name="ausschreibungen",
                        to="ausschreibungen.vergabeart",
                        verbose_name="Vergabeart",
                    ),
                ),
            ],
            options={
                "verbose_name": "Ausschreibung",
                "verbose_name_plural": "Ausschreibungen",
                "ordering": ["angebotsfrist", "pk"],
                "indexes": [models.Index(fields=["status", "angebotsfrist"], name="ausschreibung_status_frist")],
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(auftragswert__isnull=True) | Q(auftragswert__gte=0),
                        name="ausschreibung_auftragswert_nicht_negativ",
                        violation_error_message="Der Auftragswert darf nicht negativ sein.",
                    )
                ],
            },
        ),
    ]
