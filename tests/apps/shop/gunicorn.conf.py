# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

wsgi_app = "config.wsgi:application"
bind = "0.0.0.0:8000"
workers = 2
# A connection that the proxy has opened and not used yet takes a thread, for up to five seconds.
threads = 32
worker_class = "gthread"
# Longer than the proxy keeps an idle connection, so that it is never the server that closes one as a request arrives.
keepalive = 95
graceful_timeout = 20
worker_tmp_dir = "/dev/shm"  # noqa: S108
control_socket_disable = True
