from __future__ import annotations

from ansible_collections.railiance.stack.plugins.plugin_utils._release_identity import code, identity

ENTRY = {
    "name": "shop-app",
    "host": "shop.example.org",
    "source": {"repository": "https://git.example.org/shop.git", "commit": "a" * 40},
    "database": {"cluster": "apps-pg"},
    "secret_environment": {"SMTP_PASSWORD": "canary"},
}
HOSTS = ("gitea.example.org.evil.example", "gitea.example.org")
SETTINGS = {"registry": "gitea.example.org", "pull_secret": {"namespace": "gitea", "name": "gitea-pull"}}


def settings_of(**changes):
    return identity({**ENTRY, **changes}, SETTINGS)["settings"]


def test_an_entry_becomes_what_the_look_compares():
    asked = identity(ENTRY, SETTINGS)
    assert len(asked.pop("settings")) == 16
    assert asked == {
        "name": "shop-app",
        "namespace": "shop-app",
        "version": "a" * 40,
        "database": {"cluster": "apps-pg", "namespace": "databases", "owner": "shop_app", "name": "shop_app"},
        "pull_secret": {"namespace": "gitea", "name": "gitea-pull"},
        "ingress_class": "",
    }
    assert "canary" not in repr(asked)


def test_another_version_has_the_same_settings_and_everything_else_has_not():
    same = settings_of()
    assert settings_of(source={**ENTRY["source"], "commit": "b" * 40}) == same
    assert settings_of(host="other.example.org") != same
    assert settings_of(secret_environment={"SMTP_PASSWORD": "other"}) != same
    assert settings_of(replicas=2) != same
    assert identity(ENTRY, {**SETTINGS, "cluster_issuer": "staging"})["settings"] != same


def test_the_class_of_the_ingress_is_asked_for_only_by_what_is_exposed():
    assert identity(ENTRY, {**SETTINGS, "ingress_class": "nginx"})["ingress_class"] == "nginx"
    assert "ingress_class" not in identity({**ENTRY, "private": True}, SETTINGS)


def test_a_prebuilt_image_is_its_own_version_and_pulled_without_our_login():
    reference = "registry.example.org/shop@sha256:" + "c" * 64
    entry = {"name": "shop", "image": {"reference": reference}}
    asked = identity(entry, SETTINGS)
    assert asked["version"] == reference
    assert "pull_secret" not in asked
    assert "database" not in asked


def test_a_prebuilt_image_of_the_own_registry_needs_the_own_login():
    entry, own = ({"name": "shop", "image": {"reference": f"{host}/shop@sha256:{'c' * 64}"}} for host in HOSTS)
    assert identity(own, SETTINGS)["pull_secret"] == SETTINGS["pull_secret"]
    assert "pull_secret" not in identity(own, {**SETTINGS, "pull_secret": {}})
    # The Secret comes with the settings: an image from elsewhere is not just another version.
    assert identity(own, SETTINGS)["settings"] != identity(entry, SETTINGS)["settings"]


def test_another_version_of_the_role_is_another_release(tmp_path):
    chart = tmp_path / "roles/app_release/files/chart.tpl"
    chart.parent.mkdir(parents=True)
    chart.write_text("one")
    before = code(tmp_path)
    (tmp_path / "roles/app_release/README.md").write_text("no code")
    code.cache_clear()
    assert code(tmp_path) == before
    chart.write_text("two")
    code.cache_clear()
    assert code(tmp_path) != before
