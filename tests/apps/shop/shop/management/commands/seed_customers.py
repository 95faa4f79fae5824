# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A seed as it should be: again and again the same rows."""

from __future__ import annotations

from django.core.management.base import BaseCommand

from shop.models import Customer


class Command(BaseCommand):
    def handle(self, *args, **options):
        for name in ("Ada", "Grace", "Edsger"):
            Customer.objects.update_or_create(name=name, defaults={"email": f"{name.lower()}@example.org"})
        self.stdout.write("Customers are there.")
