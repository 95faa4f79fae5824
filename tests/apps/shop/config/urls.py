# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages of every version: what it is, whether its database answers, and one that writes a row."""

from __future__ import annotations

import os

from django.db import connection
from django.http import HttpResponse, JsonResponse
from django.urls import path
from shop.models import Customer


def health(request):
    with connection.cursor() as cursor:
        cursor.execute("select 1")
    return HttpResponse("ok")


def version(request):
    if "broken" in os.environ["KNOWN_MIGRATIONS"]:
        raise RuntimeError("this page is broken")
    return HttpResponse(f"<title>Shop</title>migrations {os.environ['KNOWN_MIGRATIONS']};")


def write(request):
    """Adds a row, and counts in the visitor's session how many were added."""
    request.session["rows"] = request.session.get("rows", 0) + 1
    added = Customer.objects.create(name=f"visitor {request.session['rows']}", email="visitor@example.org")
    return JsonResponse({"id": added.id, "rows": request.session["rows"]})


urlpatterns = [path("health/", health), path("", version), path("write/", write)]
