# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A promotion without migrations beside what people do by hand: helm upgrade --wait, then migrate --check."""

from __future__ import annotations

import io
import statistics
import tarfile
import time

import pytest
from conftest import ROOT
from shop import shop_with

APP = "rel-time"
PAIRS = 4
CHART = f"/home/operator/{APP}-chart"
HELM = "sudo helm --kubeconfig /etc/rancher/k3s/k3s.yaml"


@pytest.fixture(scope="module")
def shop(task, node, kubectl, playbook, lab, tmp_path_factory):
    images = ("data", "data again")
    with shop_with(APP, task, node, kubectl, playbook, lab, tmp_path_factory.mktemp("shop"), *images) as shop:
        for image in images:
            assert shop.promote(image).rc == 0
        yield shop


@pytest.fixture(scope="module")
def by_hand(shop, node):
    """The same chart, values and Secrets as a release of its own in the same namespace."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(ROOT / "roles" / "app_release" / "files" / "chart", ".")
    node(f"mkdir -p {CHART} && tar -x -C {CHART}", packed.getvalue())
    node(f"{HELM} get values {APP} -n {APP} -o yaml > {CHART}/values-now.yaml")
    node(f"{HELM} install other {CHART} -n {APP} -f {CHART}/values-now.yaml --wait")

    def upgrade(image):
        node(f"{HELM} upgrade other {CHART} -n {APP} --reuse-values --set image={shop.references[image]} --wait")
        node(f"sudo k3s kubectl exec -n {APP} deploy/other -- python manage.py migrate --check")

    yield upgrade
    node(f"{HELM} uninstall other -n {APP} --wait; rm -r {CHART}")


def test_a_promotion_without_migrations(shop, by_hand):
    def promote(image):
        run = shop.promote(image)
        assert run.rc == 0, run.messages

    seconds = {promote: [], by_hand: []}
    for turn in range(PAIRS):
        for way in (promote, by_hand) if turn % 2 else (by_hand, promote):
            began = time.monotonic()
            way("data" if turn % 2 == 0 else "data again")
            seconds[way].append(round(time.monotonic() - began, 1))
    more = [ours - theirs for ours, theirs in zip(seconds[promote], seconds[by_hand], strict=True)]
    print(f"promote: {seconds[promote]}, by hand: {seconds[by_hand]}, longer by {statistics.median(more):.1f} s")
    assert statistics.median(seconds[promote]) < 60
