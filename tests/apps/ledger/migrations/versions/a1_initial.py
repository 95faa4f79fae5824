# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "a1"
down_revision = None


def upgrade():
    op.create_table("entry", sa.Column("id", sa.Integer, primary_key=True), sa.Column("amount", sa.Integer))


def downgrade():
    op.drop_table("entry")
