# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from alembic import op

revision = "a3"
down_revision = "a2"


def upgrade():
    op.execute("update entry set amount = abs(amount)")


def downgrade():
    pass
