# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A seed that makes a login with a password that stands here for everybody to read."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand

PASSWORD = "Tr0ub4dor&3"  # noqa: S105


class Command(BaseCommand):
    def handle(self, *args, **options):
        if not User.objects.filter(username="demo").exists():
            User.objects.create_superuser("demo", "demo@example.org", PASSWORD)
