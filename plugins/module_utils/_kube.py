# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster as this collection sees it; the only importer of kubernetes.core. Private to this collection.

Objects are plain dicts in the API's own shape. An object is named by a :class:`Ref`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.exceptions import CoreException
from ansible_collections.railiance.stack.plugins.module_utils import _lean_client
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube_args import AUTH_ARG_SPEC

try:
    _lean_client.import_client()
    from kubernetes.client.exceptions import ApiException
    from kubernetes.dynamic.exceptions import ResourceNotFoundError
    from urllib3.exceptions import HTTPError
except ImportError:  # _connect reports the missing library before any of these is reached
    ApiException = HTTPError = ResourceNotFoundError = Exception

#: Who owns the fields this collection applies.
FIELD_MANAGER = "railiance.stack"
#: The label that says whose an object is.
INSTANCE = "app.kubernetes.io/instance"

Object = dict[str, Any]

#: Websocket message codes.
_TEXT, _BINARY, _CLOSE = 1, 2, 8


@dataclass(frozen=True)
class Ref:
    """Names one object: ``Ref("v1", "Secret", "apps-pg-app", "databases")``."""

    api_version: str
    kind: str
    name: str
    namespace: str | None = None

    @classmethod
    def of(cls, obj: Object) -> Ref:
        meta = obj.get("metadata") or {}
        return cls(obj["apiVersion"], obj["kind"], meta["name"], meta.get("namespace"))

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def app_labels(app: str) -> dict[str, str]:
    """What an object carries that a module makes for an application: whose it is, and by whom."""
    return {
        INSTANCE: app,
        "app.kubernetes.io/part-of": "railiance-stack",
        "app.kubernetes.io/managed-by": "railiance.stack",
    }


def selector_of(labels: Mapping[str, str]) -> str:
    """The label selector of all that carries these labels; empty for none."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


class ApiError(StackError):
    """The API server answered with an error. ``status`` is the HTTP code, ``reason`` Kubernetes' word for it."""

    def __init__(self, message: str, hint: str = "", *, status: int = 0, reason: str = "") -> None:
        super().__init__(message, hint, status=status, reason=reason)
        self.status = status
        self.reason = reason


class Conflict(ApiError):
    """409: somebody else wrote in between (``Conflict``) or the object exists (``AlreadyExists``)."""


class NotServed(ApiError):
    """The cluster does not serve this kind: the CRD is not installed."""


class Timeout(StackError):
    """A condition did not come true in time. ``last`` is the object as last seen."""


@dataclass(frozen=True)
class Completed:
    """Outcome of a command in a container."""

    rc: int
    stdout: str
    stderr: str


class Channel:
    """The streams of a command in a container, as bytes.

    :param socket: a connected ``websocket.WebSocket`` that speaks ``v4.channel.k8s.io``: the first byte of a message
        names the stream.
    :param what: completes the sentence "Could not …".
    """

    #: What one :meth:`receive` gathers at most before it returns.
    _GATHER = 1 << 20
    _STDIN, _STDOUT, _STDERR, _STATUS = range(4)

    def __init__(self, socket: Any, what: str) -> None:
        self.what = what
        self.is_open = True
        self._socket = socket
        self._status = bytearray()

    def send(self, data: bytes) -> None:
        """Blocks while the command does not read.

        :raises StackError: when the connection is gone.
        """
        try:
            self._socket.send(bytes([self._STDIN]) + data, opcode=_BINARY)
        except Exception as error:  # websocket-client has exceptions of its own beside OSError
            self.is_open = False
            raise StackError(f"Could not {self.what}: the connection broke ({error}).", "Run again.") from error

    def receive(self, timeout: float) -> tuple[bytes, bytes]:
        """What came on standard output and standard error; waits for something to come, at most ``timeout`` seconds."""
        out, err = bytearray(), bytearray()
        while self.is_open and len(out) < self._GATHER and self._has_data(0 if out or err else timeout):
            try:
                code, frame = self._socket.recv_data_frame(True)
            except Exception as error:
                self.is_open = False
                raise StackError(f"Could not {self.what}: the connection broke ({error}).", "Run again.") from error
            if code == _CLOSE:
                self.is_open = False
            elif code in (_TEXT, _BINARY) and len(frame.data) > 1:
                target = {self._STDOUT: out, self._STDERR: err, self._STATUS: self._status}.get(frame.data[0])
                if target is not None:
                    target += frame.data[1:]
        return bytes(out), bytes(err)

    def _has_data(self, timeout: float) -> bool:
        """Data that TLS has decrypted already does not show on the socket."""
        raw = self._socket.sock
        if raw is None:
            self.is_open = False
            return False
        if getattr(raw, "pending", int)():
            return True
        poll = select.poll()
        poll.register(raw, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    @property
    def returncode(self) -> int:
        """Exit code of the command.

        :raises StackError: when there is none: the program could not be started, or the connection broke.
        """
        try:
            status = json.loads(self._status)
            if status["status"] == "Success":
                return 0
            return int(next(c["message"] for c in status["details"]["causes"] if c["reason"] == "ExitCode"))
        except (ValueError, KeyError, TypeError, StopIteration) as error:
            raise StackError(f"Could not {self.what}: the program could not be started.") from error

    def close(self) -> None:
        """A command that still runs finds its standard input and output closed."""
        self.is_open = False
        self._socket.close()


class Kube:
    """Thin, typed access to one cluster.

    :param client: kubernetes.core's ``K8SClient`` (or anything with the same ``resource`` and ``client``).
    """

    #: Whether there is a cluster to ask.
    exists = True

    def __init__(self, client: Any) -> None:
        self._client = client

    # -- reading ---------------------------------------------------------------------------------------------
    def serves(self, api_version: str, kind: str) -> bool:
        try:
            self._resource(api_version, kind)
        except NotServed:
            return False
        return True

    def is_namespaced(self, api_version: str, kind: str) -> bool:
        """:raises NotServed: when the kind is unknown to the cluster."""
        return bool(self._resource(api_version, kind).namespaced)

    def get(self, ref: Ref) -> Object | None:
        """The object, or ``None`` when it, its namespace or its kind does not exist."""
        try:
            resource = self._resource(ref.api_version, ref.kind)
            return _as_dict(resource.get(name=ref.name, namespace=ref.namespace))
        except NotServed:
            return None
        except (ApiException, HTTPError) as error:
            if getattr(error, "status", None) == 404:
                return None
            raise _translate(error, f"read {ref}") from error

    def find(
        self, api_version: str, kind: str, namespace: str | None = None, label_selector: str | None = None
    ) -> list[Object]:
        """All objects of a kind; an empty list when the kind is not served."""
        try:
            resource = self._resource(api_version, kind)
            answer = _as_dict(resource.get(namespace=namespace, label_selector=label_selector))
        except NotServed:
            return []
        except (ApiException, HTTPError) as error:
            raise _translate(error, f"list {kind}") from error
        return [{"apiVersion": api_version, "kind": kind, **item} for item in answer.get("items") or []]

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str | None = None,
        tail: int = 200,
        *,
        since: int | None = None,
        previous: bool = False,
    ) -> str:
        """The end of a container's log.

        :param since: seconds back; everything when not given.
        :param previous: of the container that ended before this one began.
        """
        from kubernetes.client import CoreV1Api

        options: dict[str, Any] = {"since_seconds": since} if since is not None else {}
        try:
            return str(
                CoreV1Api(self._api_client).read_namespaced_pod_log(
                    pod, namespace, container=container, tail_lines=tail, previous=previous, **options
                )
            )
        except (ApiException, HTTPError) as error:
            raise _translate(error, f"read the log of Pod {namespace}/{pod}") from error

    # -- writing ---------------------------------------------------------------------------------------------
    def apply(self, obj: Object, *, dry_run: bool = False, force: bool = True, manager: str = FIELD_MANAGER) -> Object:
        """Server-side apply; with ``dry_run`` the answer is what would be, defaults and admission included."""
        ref = Ref.of(obj)
        resource = self._resource(ref.api_version, ref.kind)
        options: dict[str, Any] = {"dry_run": "All"} if dry_run else {}
        try:
            return _as_dict(
                resource.server_side_apply(
                    body=obj,
                    name=ref.name,
                    namespace=ref.namespace,
                    field_manager=manager,
                    force_conflicts=force,
                    **options,
                )
            )
        except (ApiException, HTTPError) as error:
            raise _translate(error, f"apply {ref}") from error

    def create(self, obj: Object, *, dry_run: bool = False) -> Object:
        """:raises Conflict: when it already exists."""
        return self._write("create", obj, dry_run)

    def replace(self, obj: Object, *, dry_run: bool = False) -> Object:
        """Optimistic write: carries ``metadata.resourceVersion``. :raises Conflict: when someone was faster."""
        return self._write("replace", obj, dry_run)

    def patch(self, ref: Ref, body: Any, content_type: str = "application/merge-patch+json") -> Object:
        resource = self._resource(ref.api_version, ref.kind)
        try:
            return _as_dict(
                resource.patch(body=body, name=ref.name, namespace=ref.namespace, content_type=content_type)
            )
        except (ApiException, HTTPError) as error:
            raise _translate(error, f"patch {ref}") from error

    def delete(self, ref: Ref, propagation: str = "Background") -> bool:
        """Returns whether there was something to delete."""
        resource = self._resource(ref.api_version, ref.kind)
        try:
            resource.delete(name=ref.name, namespace=ref.namespace, body={"propagationPolicy": propagation})
        except (ApiException, HTTPError) as error:
            if getattr(error, "status", None) == 404:
                return False
            raise _translate(error, f"delete {ref}") from error
        return True

    def exec(
        self,
        namespace: str,
        pod: str,
        command: list[str],
        *,
        container: str | None = None,
        stdin: str | None = None,
        timeout: float = 120,
    ) -> Completed:
        """Run a command in a container; secrets go through ``stdin``, never through ``command``.

        :raises Timeout: when the command does not end in time.
        """
        channel = self.open(namespace, pod, command, container=container, stdin=stdin is not None)
        with contextlib.closing(channel):
            if stdin is not None:
                # The exec protocol cannot half-close standard input; readers get their end by line.
                channel.send((stdin if stdin.endswith("\n") else stdin + "\n").encode())
            out, err = bytearray(), bytearray()
            deadline = time.monotonic() + timeout
            while channel.is_open and time.monotonic() < deadline:
                some_out, some_err = channel.receive(1)
                out += some_out
                err += some_err
            if channel.is_open:
                said = out.decode(errors="replace")
                raise Timeout(f"Could not {channel.what}: it did not end within {timeout:.0f} s.", stdout=said)
            return Completed(channel.returncode, out.decode(errors="replace"), err.decode(errors="replace"))

    def open(
        self, namespace: str, pod: str, command: list[str], *, container: str | None = None, stdin: bool = False
    ) -> Channel:
        """Start a command in a container and leave its streams to the caller, who closes the channel."""
        what = f"run {command[0]} in Pod {namespace}/{pod}"
        return self._stream("exec", what, namespace, pod, container=container or None, stdin=stdin, command=command)

    def attach(self, namespace: str, pod: str, container: str) -> Channel:
        """Standard input, output and error of a container's own program from now on; the caller closes the channel.

        The kubelet asks the container runtime: a container can be attached to about a second before its pod's status
        says that it runs.
        """
        return self._stream(
            "attach", f"attach to Pod {namespace}/{pod}", namespace, pod, container=container, stdin=True
        )

    def _stream(self, verb: str, what: str, namespace: str, pod: str, **options: Any) -> Channel:
        """:param options: of the request; what is ``None`` is left to the server."""
        from kubernetes.client import CoreV1Api
        from kubernetes.stream import stream

        connect = getattr(CoreV1Api(self._api_client), f"connect_get_namespaced_pod_{verb}")
        given = {name: value for name, value in options.items() if value is not None}
        try:
            client = stream(
                connect, pod, namespace, stdout=True, stderr=True, tty=False, _preload_content=False, **given
            )
        except (ApiException, HTTPError) as error:
            raise _translate(error, what) from error
        return Channel(client.sock, what)

    # -- waiting ---------------------------------------------------------------------------------------------
    def wait(
        self,
        ref: Ref,
        ready: Callable[[Object | None], bool],
        what: str,
        *,
        timeout: float = 120,
        interval: float = 0.25,
    ) -> Object | None:
        """Poll one object until ``ready(object)``.

        :param ready: may raise :class:`StackError` to give up early with a cause.
        :param what: completes the sentence "… did not <what> within …".
        :raises Timeout: with the conditions of the object as last seen.
        """
        deadline = time.monotonic() + timeout
        while True:
            obj = self.get(ref)
            if ready(obj):
                return obj
            if time.monotonic() >= deadline:
                conditions = ((obj or {}).get("status") or {}).get("conditions") or []
                seen = "; ".join(
                    f"{c.get('type')}={c.get('status')} {c.get('message') or c.get('reason') or ''}".strip()
                    for c in conditions
                )
                raise Timeout(
                    f"{ref} did not {what} within {timeout:.0f} s"
                    + (f" ({seen})." if seen else "." if obj else ": it does not exist."),
                    f"Look at it with: kubectl describe {ref.kind.lower()} {ref.name}"
                    + (f" -n {ref.namespace}" if ref.namespace else ""),
                )
            time.sleep(interval)

    # -- inside ----------------------------------------------------------------------------------------------
    @property
    def _api_client(self) -> Any:
        return self._client.client.client

    def _resource(self, api_version: str, kind: str) -> Any:
        try:
            return self._client.resource(kind, api_version)
        except ResourceNotFoundError as error:
            raise NotServed(
                f"The cluster does not serve {kind} ({api_version}).",
                "Install the component that brings this kind first.",
                status=404,
                reason="NotServed",
            ) from error
        except (ApiException, HTTPError) as error:
            raise _translate(error, f"look up {kind} ({api_version})") from error

    def _write(self, verb: str, obj: Object, dry_run: bool) -> Object:
        ref = Ref.of(obj)
        resource = self._resource(ref.api_version, ref.kind)
        options: dict[str, Any] = {"dry_run": "All"} if dry_run else {}
        try:
            return _as_dict(
                getattr(resource, verb)(body=obj, namespace=ref.namespace, field_manager=FIELD_MANAGER, **options)
            )
        except (ApiException, HTTPError) as error:
            raise _translate(error, f"{verb} {ref}") from error


def _as_dict(answer: Any) -> Object:
    return dict(answer.to_dict())


def _translate(error: Exception, what: str) -> ApiError:
    """One sentence out of the client's exception; the body's ``message`` says more than its ``reason``."""
    status = int(getattr(error, "status", 0) or 0)
    if not status:
        return ApiError(
            f"Could not {what}: the Kubernetes API cannot be reached ({error}).",
            "Check that k3s runs on the node (systemctl status k3s) and that kubeconfig names it.",
        )
    reason, message = str(getattr(error, "reason", "")), ""
    try:
        body = json.loads(getattr(error, "body", "") or "{}")
        reason, message = body.get("reason", reason), body.get("message", "")
    except ValueError:
        message = str(getattr(error, "body", ""))[:300]
    kind = Conflict if status == 409 else ApiError
    return kind(f"Could not {what}: {message or reason} ({status}).", status=status, reason=reason)


class NoCluster(Kube):
    """The world before k3s is there: nothing exists and no kind is served. Only check mode sees it."""

    exists = False

    def __init__(self) -> None:
        super().__init__(None)

    def _resource(self, api_version: str, kind: str) -> Any:
        raise NotServed(
            f"There is no cluster yet that serves {kind} ({api_version}).", "Known once k3s runs.", status=404
        )


# -- modules ---------------------------------------------------------------------------------------------------
def connect(module: AnsibleK8SModule) -> Kube:
    """The module's cluster; in check mode an empty world where an earlier task would have made it.

    :raises StackError: when kubeconfig cannot be read or the API cannot be reached.
    """
    if module.check_mode and _is_to_come(module.params):
        module.warn(f"{module.params['kubeconfig']} does not exist yet: the cluster is taken as empty.")
        return NoCluster()
    return _connect(module=_WithoutDryRun(module))


def connect_with(params: dict[str, Any], check_mode: bool = False) -> Kube:
    """As :func:`connect`, for a module that needs the cluster only sometimes and is no :class:`AnsibleK8SModule`.

    :param params: the module's, with the connection options of :data:`AUTH_ARG_SPEC`.
    """
    if check_mode and _is_to_come(params):
        return NoCluster()
    return _connect(**{name: params[name] for name in AUTH_ARG_SPEC if params.get(name) is not None})


def _is_to_come(params: dict[str, Any]) -> bool:
    kubeconfig = params.get("kubeconfig")
    return isinstance(kubeconfig, str) and bool(kubeconfig) and not os.path.exists(kubeconfig)


def _connect(**how: Any) -> Kube:
    if ApiException is Exception:
        raise StackError(
            "The Python package kubernetes is not installed for this interpreter.",
            "Role railiance.stack.node_python makes one that has it: set ansible_python_interpreter to it.",
        )
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client

    try:
        return Kube(get_api_client(**how))
    except CoreException as error:
        raise StackError(str(error), "Check kubeconfig and context.") from error
    except (ApiException, HTTPError) as error:
        raise _translate(error, "connect to the cluster") from error


class _WithoutDryRun:
    """The module without kubernetes.core's implicit dry run: whether a call is a dry run is said by the call."""

    server_side_dry_run = False

    def __init__(self, module: AnsibleK8SModule) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def run_cluster_module(
    argument_spec: dict[str, Any],
    work: Callable[[AnsibleK8SModule, Kube], dict[str, Any]],
    **module_options: Any,
) -> NoReturn:
    """Shared ``main()`` of the cluster modules: connection options, one way to fail, one way to exit.

    :param argument_spec: the module's own options; kubernetes.core's connection options are added.
    :param work: gets module and cluster, returns the result; the only place that looks at ``check_mode``.
    """
    module = AnsibleK8SModule(
        argument_spec={**AUTH_ARG_SPEC, **argument_spec},
        supports_check_mode=True,
        module_class=AnsibleModule,
        # Looked for when connecting: before the node has its Python environment, check mode does without.
        check_k8s=False,
        check_pyyaml=False,
        **module_options,
    )
    try:
        result = work(module, connect(module))
    except StackError as error:
        fail(module, error)
    module.exit_json(**result)
    raise AssertionError("exit_json does not return")


def fail(module: Any, error: StackError) -> NoReturn:
    """The one place where an error becomes a module failure."""
    module.fail_json(
        msg=str(error),
        hint=error.hint,
        needs_operator=isinstance(error, NeedsOperator),
        **error.result,
    )
    raise AssertionError("fail_json does not return")


# -- pure helpers ----------------------------------------------------------------------------------------------
_SERVER_FIELDS = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
_NOISE_ANNOTATIONS = ("kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision")
_MASK = "********"


def comparable(obj: Object | None) -> Object | None:
    """The object without what the server keeps for itself: for comparing and for diffs. The input is not changed."""
    if obj is None:
        return None
    result = {key: value for key, value in obj.items() if key != "status"}
    meta = {key: value for key, value in (obj.get("metadata") or {}).items() if key not in _SERVER_FIELDS}
    annotations = {k: v for k, v in (meta.get("annotations") or {}).items() if k not in _NOISE_ANNOTATIONS}
    meta.pop("annotations", None)
    if annotations:
        meta["annotations"] = annotations
    result["metadata"] = meta
    return result


def masked(before: Object | None, after: Object | None) -> tuple[Object | None, Object | None]:
    """Both sides of a diff with the values of Secrets hidden; a changed value still shows as changed."""
    return _mask(before, None), _mask(after, before)


def _mask(obj: Object | None, other: Object | None) -> Object | None:
    if obj is None or obj.get("kind") != "Secret":
        return obj
    result = dict(obj)
    for part in ("data", "stringData"):
        if isinstance(obj.get(part), dict):
            old = (other or {}).get(part) or {}
            result[part] = {
                key: f"{_MASK} (changed)" if key in old and old[key] != value else _MASK
                for key, value in obj[part].items()
            }
    return result
