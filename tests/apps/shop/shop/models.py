# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The models after 0001: the migrations of the series that follow are written by hand."""

from __future__ import annotations

from django.db import models


class Customer(models.Model):
    """Someone with an address."""

    name = models.CharField(max_length=100)
    email = models.CharField(max_length=200)


class Draft(models.Model):
    """Something that the destructive migration drops."""

    text = models.TextField()


class Item(models.Model):
    """Something with a price."""

    name = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=10, decimal_places=2)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT)
