from __future__ import annotations

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._errors import StackError
from ansible_collections.railiance.stack.plugins.module_utils._kube import Ref
from ansible_collections.railiance.stack.plugins.module_utils._release import STATE_LABEL, VERSION_LABEL
from ansible_collections.railiance.stack.plugins.modules.release_record import ARGUMENT_SPEC, work
from unit.fakes import FakeKube, FakeModule
from unit.plugins.module_utils.test_release import COMMIT, WANTED, edit, release, verdict, world

OTHER = "f" * 40
APP = {
    "name": "shop",
    "settings": WANTED.settings,
    "version": COMMIT,
    "database": {"namespace": "databases", "cluster": "apps-pg", "owner": "shop"},
    "pull_secret": {"namespace": "gitea", "name": "gitea-pull"},
    "ingress_class": "",
}


def record(kube, revision, check_mode=False):
    defaults = {key: spec.get("default") for key, spec in ARGUMENT_SPEC.items()}
    module = FakeModule(check_mode, **{**defaults, "app": APP, "revision": revision, "scan_log": False})
    return work(module, kube), module.warnings


def labels_of_revision(kube, number):
    return kube.objects[Ref("v1", "Secret", f"sh.helm.release.v1.shop.v{number}", "shop")]["metadata"]["labels"]


def released(*revisions):
    """A world with further revisions, none of them noted as complete."""
    kube = world()
    for number, commit in enumerate(revisions, start=2):
        kube.put(release(number, labels={STATE_LABEL: "null"}, commit=commit))
    return kube


def test_what_was_rolled_out_is_noted_as_complete():
    kube = released(COMMIT)
    done, warnings = record(kube, 2)
    assert (done["changed"], done["noted"], done["reason"], warnings) == (False, True, "", [])
    assert labels_of_revision(kube, 2)[VERSION_LABEL] == COMMIT
    assert verdict(kube).converged


def test_a_revision_of_another_run_does_not_get_this_ones_version():
    kube = released(COMMIT, OTHER)
    with pytest.raises(StackError, match=r"^Helm release shop/shop is at revision 3 .* run knows revision 2\."):
        record(kube, 2)
    assert kube.writes == []
    assert VERSION_LABEL not in labels_of_revision(kube, 3)


def test_a_release_that_was_removed_meanwhile_is_said_to_be_gone():
    with pytest.raises(StackError, match=r"^Helm release shop/shop is gone; this run knows revision 1\."):
        record(FakeKube(), 1)


def test_drift_leaves_it_without_the_note_and_warns():
    kube = released(COMMIT)
    edit(kube, "ConfigMap", "c", lambda o: o["data"].update(a="2"))
    done, warnings = record(kube, 2)
    assert (done["noted"], done["reason"]) == (False, "ConfigMap shop/c differs from the release")
    assert warnings == [
        "Revision 2 of Helm release shop/shop serves but is not complete: ConfigMap shop/c differs from the release."
        " Until it is, each deploy releases it again, and neither rollback nor rotate counts on it."
        " Find out what changes or stops that object, then release the same version again."
    ]
    assert labels_of_revision(kube, 2)[STATE_LABEL] == "null"


def test_check_mode_knows_the_revision_before_it_is_there_and_notes_nothing():
    kube = world()
    foretold, warnings = record(kube, 2, check_mode=True)
    assert (foretold["noted"], kube.writes, warnings) == (True, [], [])
    assert record(FakeKube(), 1, check_mode=True)[0]["reason"] == "there is no release"
