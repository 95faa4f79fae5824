# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a Service to a host on the internet: names, certificate, Ingress, in this order. Private to this collection.

Nothing is reachable from outside before the certificate is there, and nothing of a failed attempt is left behind.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils import _certificate
from ansible_collections.railiance.stack.plugins.module_utils._apply import Manifest, foreign_owner
from ansible_collections.railiance.stack.plugins.module_utils._dns_check import Finding, report
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, Object, Ref, comparable
from ansible_collections.railiance.stack.plugins.module_utils._plan import Plan, Step
from ansible_collections.railiance.stack.plugins.module_utils._routes import check_free, read_routes

#: Looks at the names; called only when something is about to be exposed.
LookAtNames = Callable[[list[str]], list[Finding]]


@dataclass(frozen=True)
class Wanted:
    """What is to be served, and where.

    :param staging_issuer: proves the way to a certificate before the real issuer is asked; empty for none.
    :param labels: of every object.
    """

    name: str
    namespace: str
    hosts: list[str]
    service: str
    port: str
    ingress_class: str
    issuer: str
    staging_issuer: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def ingress(self) -> Ref:
        return Ref("networking.k8s.io/v1", "Ingress", self.name, self.namespace)

    @property
    def certificate(self) -> Ref:
        return Ref(_certificate.API, "Certificate", f"{self.name}-tls", self.namespace)

    @property
    def staging(self) -> Ref:
        return Ref(_certificate.API, "Certificate", f"{self.name}-tls-staging", self.namespace)


def build_ingress(wanted: Wanted) -> Object:
    port = {"number": int(wanted.port)} if wanted.port.isdigit() else {"name": wanted.port}
    backend = {"service": {"name": wanted.service, "port": port}}
    metadata: dict[str, Any] = {"name": wanted.name, "namespace": wanted.namespace, "labels": dict(wanted.labels)}
    if wanted.annotations:
        metadata["annotations"] = dict(wanted.annotations)
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata,
        "spec": {
            "ingressClassName": wanted.ingress_class,
            "tls": [{"hosts": list(wanted.hosts), "secretName": wanted.certificate.name}],
            "rules": [
                {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
                for host in wanted.hosts
            ],
        },
    }


class Exposure:
    """Plans and carries out.

    :param timeout: seconds for each certificate.
    :param predict: the plan is only shown, so what earlier steps of a run would have made may be missing.
    """

    def __init__(
        self, kube: Kube, wanted: Wanted, names: LookAtNames, *, timeout: float, predict: bool = False
    ) -> None:
        self._kube = kube
        self._wanted = wanted
        self._names = names
        self._timeout = timeout
        self._predict = predict
        #: What the names said; empty when they were not asked.
        self.findings: list[Finding] = []

    # -- looking -------------------------------------------------------------------------------------------
    def plan(self) -> Plan:
        """:raises NeedsOperator: when a host is taken, a name leads elsewhere, or an object belongs to others."""
        wanted = self._wanted
        certificate = _certificate.build(wanted.certificate, wanted.hosts, wanted.issuer, wanted.labels)
        manifest = Manifest(self._kube, [certificate, build_ingress(wanted)], timeout=0)
        apply = {step.target: step for step in manifest.plan().steps}
        live = {found.ref: found.live for found in manifest.looks}
        self._check_ours(live)
        current = live[wanted.certificate]
        issue = not _certificate.is_issued(current, certificate)
        route = apply.get(str(wanted.ingress))
        if issue or route:
            self._check_exposable(issue)
        plan = Plan()
        if issue:
            self._plan_issue(plan, certificate, current, apply.get(str(wanted.certificate)))
        else:
            self._plan_leftover(plan)
            if str(wanted.certificate) in apply:  # labels only
                plan.add(apply[str(wanted.certificate)])
        if route:
            plan.add(route)
        return plan

    def _check_ours(self, live: dict[Ref, Object | None]) -> None:
        """The manifest leaves objects of others alone; without them there is nothing to go on with."""
        for ref in (self._wanted.certificate, self._wanted.ingress):
            if ref not in live:
                owner = foreign_owner(self._kube.get(ref) or {})
                raise NeedsOperator(
                    f"{ref} belongs to {owner or 'somebody else'}. Nothing has been changed.",
                    "Remove it there, or give the application another name.",
                )

    def _check_exposable(self, issue: bool) -> None:
        wanted = self._wanted
        check_free(read_routes(self._kube), wanted.ingress, wanted.hosts)
        service = Ref("v1", "Service", wanted.service, wanted.namespace)
        if not self._predict and self._kube.get(service) is None:
            raise StackError(
                f"{service} does not exist, so there is nothing to expose.", "Release the application first."
            )
        if issue:
            for issuer in (wanted.staging_issuer, wanted.issuer):
                if issuer:
                    _certificate.check_issuer(self._kube, issuer, self._predict)
        self.findings = self._names(wanted.hosts)
        report(self.findings)

    # -- the certificate -----------------------------------------------------------------------------------
    def _plan_issue(self, plan: Plan, certificate: Object, current: Object | None, step: Step | None) -> None:
        wanted = self._wanted
        under_way = current is not None and step is None and not _certificate.has_failed(current)
        if wanted.staging_issuer and wanted.staging_issuer != wanted.issuer and not under_way:
            trial = _certificate.build(wanted.staging, wanted.hosts, wanted.staging_issuer, wanted.labels)
            note = "for the time of a trial: it proves the way to a certificate without the real issuer's limits"
            target = str(wanted.staging)
            plan.add(Step("create", target, None, trial, functools.partial(self._issue, trial, None), note))
            plan.add(Step("delete", target, trial, None, functools.partial(self._remove, wanted.staging), "the trial"))
        else:
            self._plan_leftover(plan)
        target = str(wanted.certificate)
        if current is not None and _certificate.has_failed(current):
            # cert-manager would wait for an hour; a new object is tried at once. The Secret in use stays.
            before = comparable(current)
            delete = functools.partial(self._kube.delete, wanted.certificate)
            plan.add(Step("delete", target, before, None, delete, "its last attempt failed"))
            issue = functools.partial(self._issue, certificate, None)
            plan.add(Step("create", target, None, certificate, issue))
        elif step is not None:
            plan.add(replace(step, do=functools.partial(self._issue, certificate, current)))
        else:
            wait = functools.partial(_certificate.wait_issued, self._kube, wanted.certificate, self._timeout)
            plan.add(Step("run", target, do=wait, note="wait until it is issued"))

    def _plan_leftover(self, plan: Plan) -> None:
        """The trial of a run that was cut off."""
        found = self._kube.get(self._wanted.staging)
        if found is not None:
            remove = functools.partial(self._remove, self._wanted.staging)
            plan.add(Step("delete", str(self._wanted.staging), comparable(found), None, remove, "left by another run"))

    def _issue(self, certificate: Object, before: Object | None) -> Object:
        ref = Ref.of(certificate)
        try:
            self._kube.apply(certificate)
            return _certificate.wait_issued(self._kube, ref, self._timeout)
        except StackError as error:
            self._withdraw(ref, before)
            error.message += " Nothing new has been exposed."
            raise

    def _withdraw(self, ref: Ref, before: Object | None) -> None:
        """Leave nothing that goes on asking the authority, and what was served as it was."""
        if before is None:
            self._remove(ref)
            return
        spec, meta = before["spec"], before["metadata"]
        issuer = (spec.get("issuerRef") or {}).get("name") or self._wanted.issuer
        old = _certificate.build(ref, spec.get("dnsNames") or [], issuer, meta.get("labels") or {})
        self._kube.apply(old)

    def _remove(self, ref: Ref) -> None:
        """The Certificate first: cert-manager makes a Secret anew that is missing."""
        self._kube.delete(ref)
        self._wait_gone(ref)
        self._kube.delete(Ref("v1", "Secret", ref.name, ref.namespace))

    def _wait_gone(self, ref: Ref) -> None:
        deadline = time.monotonic() + 10
        while self._kube.get(ref) is not None and time.monotonic() < deadline:
            time.sleep(0.1)


def plan_removal(kube: Kube, wanted: Wanted, keep_certificate: bool = False) -> Plan:
    """Take the host off the internet: the Ingress first, then what belongs to it."""
    certificates = () if keep_certificate else (wanted.certificate, wanted.staging)
    secrets = [Ref("v1", "Secret", ref.name, ref.namespace) for ref in certificates]
    plan = Plan()
    for ref in (wanted.ingress, *certificates, *secrets):
        live = kube.get(ref)
        if live is None:
            continue
        owner = foreign_owner(live)
        if owner and ref.kind != "Secret":
            raise NeedsOperator(f"{ref} belongs to {owner} and is left alone.", "Remove it there.")
        shown = {"kind": ref.kind} if ref.kind == "Secret" else comparable(live)
        plan.add(Step("delete", str(ref), shown, None, functools.partial(kube.delete, ref)))
    return plan
