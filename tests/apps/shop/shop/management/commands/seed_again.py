# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A seed that adds its rows every time."""

from __future__ import annotations

from django.core.management.base import BaseCommand

from shop.models import Customer


class Command(BaseCommand):
    def handle(self, *args, **options):
        Customer.objects.create(name="Once more", email="again@example.org")
