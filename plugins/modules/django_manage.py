#!/usr/bin/python
# Copyright (c) 2026, the railiance.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: django_manage
short_description: Run a management command of an application in the cluster
version_added: 0.1.0
description:
  - Runs C(manage.py) with the image, environment, Secrets and volumes of an application's own pod, as a Job before
    traffic switches to a new image, or in a pod that runs.
  - C(migrate) looks first and changes only what is pending; both happen in one Job. The look tells of every operation
    whether there is a way back and whether it destroys something. What has no way back is not begun when it is to be
    reversed.
  - The name of the Job is a lock. While another run that may change something is active for the same application, with
    whatever image and command, this one waits for it. The Job ends by itself and is removed afterwards.
  - C(migrate) also holds an advisory lock of the PostgreSQL database while it works, in a Job as well as in a running
    pod. PostgreSQL gives it back when the session ends, however it ends. Sessions that an earlier run left hanging are
    ended first, and its own when its time is over.
  - Values of the Secrets that the pod uses are hidden in everything that is returned. Entries named C(username),
    C(host), C(port) and C(dbname), and values of less than four characters, are shown.
author:
  - The railiance.stack authors (@railiance)
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - railiance.stack.attributes
attributes:
  check_mode:
    support: partial
    details:
      - C(migrate) runs one Job, which deletes itself and whose database session is read-only, to read what is
        pending, as with O(plan=true). Where the image, the namespace or a Secret does not exist yet, the result says
        so instead.
      - C(createsuperuser) looks in the same way whether the user exists, unless O(extra_args) are given. Whether
        there is a password is not asked, as a task before may have to put it there.
      - Every other command is not run. One that changes nothing is reported unchanged, any other changed.
  diff_mode:
    support: partial
    details: C(migrate) shows the pending migrations.
  idempotent:
    support: partial
    details:
      - C(migrate), C(createsuperuser), C(createcachetable) and C(collectstatic) report a change only when there is one.
        So do C(loaddata), C(clearsessions) and a O(seed), by the rows of the database; sessions in files do not count.
        A command this module does not know is always reported as changed, unless O(changed_pattern) says otherwise.
options:
  command:
    description: Name of the management command, without arguments.
    type: str
    required: true
  app:
    description: Name of the application.
    type: str
    required: true
  namespace:
    description: Namespace of the application; its name when not given.
    type: str
  workload:
    description: Deployment whose pod template is used; the application's name when not given.
    type: str
  pod_template:
    description: Pod template to use instead of a Deployment's, for the first release.
    type: dict
  plan:
    description:
      - For C(migrate), look only. The result is that of check mode, and never a change.
    type: bool
    default: false
  public_hosts:
    description:
      - For C(migrate) with O(plan=true) or in check mode, the public host names of the application. An image is refused
        whose C(DEBUG) is on, or whose C(ALLOWED_HOSTS), C(CSRF_TRUSTED_ORIGINS) or C(SECURE_PROXY_SSL_HEADER) do not
        fit them, as its settings module has them in the end. Not looked at with O(driver=alembic).
    type: list
    elements: str
    default: []
  targets:
    description:
      - For C(migrate), where to go, forward or backward, one after the other. Everything newest when not given.
      - With O(driver=alembic) one target at most.
    type: list
    elements: dict
    default: []
    suboptions:
      app:
        description: Application in Django's sense. Alembic knows none.
        type: str
      migration:
        description:
          - Name of a migration or its beginning, or a revision of Alembic. V(zero) is before the first one.
          - The newest one when not given.
        type: str
  container:
    description: Container of the pod; the first one when not given.
    type: str
  image:
    description: Image to run instead of the pod template's.
    type: str
  image_available:
    description: Whether the image can be pulled already; V(false) spares check mode the attempt.
    type: bool
    default: true
  mode:
    description: As a Job of its own, or in a pod of the Deployment that is ready, with the image that runs there.
    type: str
    choices: [job, exec]
    default: job
  driver:
    description: C(migrate) of Django, or of Alembic.
    type: str
    choices: [django, alembic]
    default: django
  python:
    description: Python interpreter in the image.
    type: str
    default: python
  manage:
    description: Path of manage.py in the image.
    type: str
    default: manage.py
  project_path:
    description: Directory to run in; the image's working directory when not given.
    type: str
    aliases: [app_path, chdir]
  settings:
    description: Settings module.
    type: str
  pythonpath:
    description: Directory added to the Python path.
    type: str
  database:
    description: Database alias, for the commands that take one.
    type: str
  apps:
    description: Applications in Django's sense, for the commands that take them.
    type: list
    elements: str
    default: []
  cache_table:
    description: The one table C(createcachetable) makes; those of the settings when not given.
    type: str
  fixtures:
    description: Fixtures for C(loaddata).
    type: list
    elements: str
    default: []
  tags:
    description: Tags for C(check).
    type: list
    elements: str
    default: []
  clear:
    description: For C(collectstatic), remove what is there first.
    type: bool
    default: false
  link:
    description: For C(collectstatic), link instead of copying.
    type: bool
    default: false
  deploy:
    description: For C(check), the additional checks for a deployment.
    type: bool
    default: false
  fail_level:
    description: For C(check), the level from which it fails.
    type: str
    choices: [CRITICAL, ERROR, WARNING, INFO, DEBUG]
  skip_checks:
    description: Skip Django's system checks before the command.
    type: bool
    default: false
  verbosity:
    description: Django's verbosity.
    type: int
    choices: [0, 1, 2, 3]
  extra_args:
    description:
      - Further arguments, at the end. They are visible in the cluster; never put a secret here.
      - With C(migrate) only options, which the prediction knows nothing of.
      - With O(driver=alembic) they stand before the subcommand, for example C(-c alembic/alembic.ini).
    type: list
    elements: str
    default: []
  environment:
    description: Further plain environment, in place of entries of the same name.
    type: dict
    default: {}
  username:
    description: For C(createsuperuser), the user's name.
    type: str
  email:
    description: For C(createsuperuser), the user's address.
    type: str
  password_secret:
    description:
      - For C(createsuperuser), the Secret in the application's namespace that holds the password. Required, because
        Django would otherwise create a user who cannot log in.
    type: dict
    suboptions:
      name:
        description: Name of the Secret.
        type: str
        required: true
      key:
        description: Its key.
        type: str
        default: password
  seed:
    description:
      - Declares that O(command) fills the database with what the application needs, and how. Both must hold, otherwise
        it is refused.
      - It runs in one transaction, twice. The second time must leave every row as it is, and a login that it makes must
        not have a password that follows from its name, that everybody tries first, that the command prints, or that
        stands in the command's source. Otherwise nothing of it is kept.
      - What cannot be proven is what it does outside the database, that it is idempotent with other rows than these,
        and that nobody knows a password by other ways.
    type: dict
    suboptions:
      idempotent:
        description: Running it again changes nothing.
        type: bool
        default: false
      production_safe:
        description: It belongs into a database with real data.
        type: bool
        default: false
  changed_pattern:
    description: Regular expression; the command changed something exactly when it is found in its standard output.
    type: str
  timeout:
    description: Seconds after which the command is stopped.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Migrate with the image that is about to be released
  railiance.stack.django_manage:
    command: migrate
    app: vergabe-teilnahme
    image: "{{ pushed.reference_by_digest }}"

- name: See what a release would do to the database
  railiance.stack.django_manage:
    command: migrate
    app: vergabe-teilnahme
    image: "{{ pushed.reference_by_digest }}"
    plan: true
  register: planned

- name: Take a migration back, with the image that knows it
  railiance.stack.django_manage:
    command: migrate
    app: vergabe-teilnahme
    targets:
      - {app: ausschreibungen, migration: "0003"}

- name: Fill in the reference data
  railiance.stack.django_manage:
    command: seed_vergabearten
    app: vergabe-teilnahme
    seed: {idempotent: true, production_safe: true}

- name: Create the first administrator
  railiance.stack.django_manage:
    command: createsuperuser
    app: vergabe-teilnahme
    username: admin
    email: admin@example.org
    password_secret:
      name: vergabe-teilnahme-admin

- name: Refuse a deployment that Django warns about
  railiance.stack.django_manage:
    command: check
    app: vergabe-teilnahme
    deploy: true
    fail_level: WARNING

- name: Migrate an application that uses Alembic
  railiance.stack.django_manage:
    command: migrate
    driver: alembic
    app: state-hub
"""

RETURN = r"""
rc:
  description: Exit code of the command; 0 when it did not have to run.
  returned: always
  type: int
stdout:
  description: What the command said, with the values of Secrets hidden.
  returned: always
  type: str
stderr:
  description: What it said on standard error, with the values of Secrets hidden.
  returned: always
  type: str
cmd:
  description: The command that decided the result.
  returned: always
  type: list
  elements: str
executed_by:
  description: Where it ran; V(none) in check mode when nothing was run.
  returned: always
  type: str
  sample: job
image:
  description: The image it ran with.
  returned: always
  type: str
pending:
  description:
    - With O(command=migrate), the migrations that were pending before, in the order in which they run.
    - C(destructive) of an operation is true for the drop of a table, a column or a constraint, for a conversion that
      does not keep every value, for SQL that drops, truncates or deletes, for Python or SQL without a way back, and for
      what cannot be read or is not known. The drop of an index, a rename and a change of options are not, and nothing
      is in an empty database or in a table that the same run creates. For a migration that is reversed it says the same
      of the reversal, so undoing a new table or column is destructive.
    - A way back that does nothing makes an operation reversible, as in Django; C(reason) says that nothing goes back.
    - C(compatible) is false when the version of the application that does not know the operation cannot go on reading
      and writing.
    - V(none) in check mode and with O(plan=true) when they could not be read yet. The same holds for the other results
      of C(migrate).
  returned: O(command=migrate)
  type: list
  elements: dict
  contains:
    migration:
      description: Application and name, C(shop.0002_data); with Alembic the revision.
      type: str
    direction:
      description: V(forward) or V(backward).
      type: str
    operations:
      description: C(description), C(reversible), C(destructive), C(compatible) and a C(reason) that may be empty.
      type: list
      elements: dict
    reversible:
      description: Whether all of its operations are.
      type: bool
    destructive:
      description: Whether one of its operations is.
      type: bool
    compatible:
      description: Whether all of its operations are.
      type: bool
    atomic:
      description: Whether it happens in one transaction, so that a failure leaves nothing of it.
      type: bool
  sample:
    - migration: shop.0002_data
      direction: forward
      operations:
        - description: Raw Python operation
          reversible: false
          destructive: true
          compatible: true
          reason: What Python code (fill) does to rows cannot be read from it, and it declares no way back
      reversible: false
      destructive: true
      compatible: true
      atomic: true
reversible:
  description: Whether all that was pending is.
  returned: O(command=migrate)
  type: bool
destructive:
  description: Whether something that was pending is.
  returned: O(command=migrate)
  type: bool
compatible:
  description: Whether all that was pending is.
  returned: O(command=migrate)
  type: bool
applied:
  description:
    - What the database records as applied, oldest first; after the run when it ran, also when it failed.
    - Alembic records where the database is; what lies before that is listed as well.
  returned: O(command=migrate)
  type: list
  elements: str
  sample: [shop.0001_initial, shop.0002_data]
unknown:
  description:
    - What the database records and the image does not know. A release of this image would have to reverse it first,
      with an image that does know it.
    - Records of applications that were removed long ago appear here as well; no image knows them any more.
  returned: O(command=migrate)
  type: list
  elements: str
way_back:
  description: O(targets) for an image that knows RV(unknown), which lead to what this image knows.
  returned: O(command=migrate)
  type: list
  elements: dict
  sample:
    - {app: shop, migration: 0001_initial}
rows:
  description: What C(loaddata), C(clearsessions) or a O(seed) did, by table. Updates may have written what was there.
  returned: when rows were counted (PostgreSQL)
  type: dict
  sample:
    public.shop_label: {inserted: 3, updated: 0, deleted: 0}
logins:
  description: Names of the logins that a O(seed) made or gave a password.
  returned: when rows were counted (PostgreSQL)
  type: list
  elements: str
sessions:
  description:
    - Sessions in PostgreSQL that were ended because the time was over, with C(query), C(waiting_for) and C(blocked_by).
  returned: when a migration was stopped
  type: list
  elements: dict
plan:
  description: What was done, or would be done in check mode.
  returned: always
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.railiance.stack.plugins.module_utils._kube import Kube, run_cluster_module
from ansible_collections.railiance.stack.plugins.module_utils._manage import Manage, Task

ARGUMENT_SPEC: dict[str, Any] = {
    "command": {"type": "str", "required": True},
    "app": {"type": "str", "required": True},
    "namespace": {"type": "str"},
    "workload": {"type": "str"},
    "pod_template": {"type": "dict"},
    "plan": {"type": "bool", "default": False},
    "public_hosts": {"type": "list", "elements": "str", "default": []},
    "targets": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"app": {"type": "str"}, "migration": {"type": "str"}},
    },
    "container": {"type": "str"},
    "image": {"type": "str"},
    "image_available": {"type": "bool", "default": True},
    "mode": {"type": "str", "choices": ["job", "exec"], "default": "job"},
    "driver": {"type": "str", "choices": ["django", "alembic"], "default": "django"},
    "python": {"type": "str", "default": "python"},
    "manage": {"type": "str", "default": "manage.py"},
    "project_path": {"type": "str", "aliases": ["app_path", "chdir"]},
    "settings": {"type": "str"},
    "pythonpath": {"type": "str"},
    "database": {"type": "str"},
    "apps": {"type": "list", "elements": "str", "default": []},
    "cache_table": {"type": "str"},
    "fixtures": {"type": "list", "elements": "str", "default": []},
    "tags": {"type": "list", "elements": "str", "default": []},
    "clear": {"type": "bool", "default": False},
    "link": {"type": "bool", "default": False},
    "deploy": {"type": "bool", "default": False},
    "fail_level": {"type": "str", "choices": ["CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG"]},
    "skip_checks": {"type": "bool", "default": False},
    "verbosity": {"type": "int", "choices": [0, 1, 2, 3]},
    "extra_args": {"type": "list", "elements": "str", "default": []},
    "environment": {"type": "dict", "default": {}},
    "username": {"type": "str"},
    "email": {"type": "str"},
    "password_secret": {
        "type": "dict",
        "no_log": False,
        "options": {
            "name": {"type": "str", "required": True},
            "key": {"type": "str", "default": "password", "no_log": False},
        },
    },
    "seed": {
        "type": "dict",
        "options": {
            "idempotent": {"type": "bool", "default": False},
            "production_safe": {"type": "bool", "default": False},
        },
    },
    "changed_pattern": {"type": "str"},
    "timeout": {"type": "int", "default": 300},
}


def work(module: Any, kube: Kube) -> dict[str, Any]:
    manage = Manage(kube, Task.of(module.params))
    if module.check_mode:
        return manage.foretell()
    return manage.run()


def main() -> None:
    run_cluster_module(
        ARGUMENT_SPEC,
        work,
        required_if=[("command", "createsuperuser", ["password_secret"])],
        mutually_exclusive=[("workload", "pod_template")],
    )


if __name__ == "__main__":
    main()
