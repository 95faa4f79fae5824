# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A data migration with a way back."""

from __future__ import annotations

from django.db import migrations


def fill_remarks(apps, schema_editor):
    item = apps.get_model("shop", "Item")
    for one in item.objects.filter(remark=None):
        one.remark = f"Preis {one.price}"
        one.save(update_fields=["remark"])


def empty_remarks(apps, schema_editor):
    apps.get_model("shop", "Item").objects.filter(remark__startswith="Preis ").update(remark=None)


class Migration(migrations.Migration):
    dependencies = [("shop", "0002_additive")]
    operations = [migrations.RunPython(fill_remarks, empty_remarks)]
