# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes the schema and half of the rows, then fails."""

from __future__ import annotations

from django.db import migrations, models


def fail_half_way(apps, schema_editor):
    for number, one in enumerate(apps.get_model("shop", "Item").objects.order_by("id")):
        if number == 2:
            raise ValueError(f"Item {one.id} cannot be counted.")
        one.stock = 1
        one.save(update_fields=["stock"])


class Migration(migrations.Migration):
    dependencies = [("shop", "0003_data")]
    operations = [
        migrations.AddField("Item", "stock", models.IntegerField(default=0, db_default=0)),
        migrations.RunPython(fail_half_way, migrations.RunPython.noop),
    ]
