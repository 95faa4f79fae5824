# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells whether the user exists whom createsuperuser would create. It runs in the application's container.

Private to this collection.
"""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._pod_migrations import say


def main(request: dict[str, Any]) -> None:
    """:param request: ``{database}``, an alias. The name comes from where createsuperuser takes it."""
    from django.contrib.auth import get_user_model

    model = get_user_model()
    variable = f"DJANGO_SUPERUSER_{model.USERNAME_FIELD.upper()}"
    if not os.environ.get(variable):
        raise SystemExit(f"Without {variable} nobody can be created.")
    users = model._default_manager.db_manager(request["database"] or "default")
    try:
        users.get_by_natural_key(os.environ[variable])
    except model.DoesNotExist:
        say("user", exists=False)
    else:
        say("user", exists=True)
