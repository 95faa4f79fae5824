# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A data migration without a way back: addresses become digests."""

from __future__ import annotations

import hashlib

from django.db import migrations


def digest_addresses(apps, schema_editor):
    for one in apps.get_model("shop", "Customer").objects.all():
        one.email = hashlib.sha256(one.email.encode()).hexdigest()
        one.save(update_fields=["email"])


class Migration(migrations.Migration):
    dependencies = [("shop", "0003_data")]
    operations = [migrations.RunPython(digest_addresses)]
