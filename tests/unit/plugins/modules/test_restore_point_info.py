from __future__ import annotations

from ansible_collections.railiance.stack.plugins.module_utils._restore_store import Store
from ansible_collections.railiance.stack.plugins.modules.restore_point_info import look
from unit.fakes import FakeModule
from unit.plugins.module_utils.test_restore_store import NOW, record


def test_each_has_a_line_with_what_is_wrong_with_it(tmp_path):
    store = Store(str(tmp_path))
    for name, reason in (("shop-20261121T105049Z-4f2c1a", "before a migration"), ("shop-20261121T105050Z-4f2c1b", "")):
        with open(store.partial(name), "w") as file:
            file.write("x")
        store.keep(record(name, reason=reason))
    (tmp_path / "shop-20261121T105050Z-4f2c1b.dump.age").unlink()
    found = look(FakeModule(app="shop", directory=str(tmp_path), verify=False), NOW)
    assert [" ".join(line.split()) for line in found.result["table"]] == [
        f"restore point shop-20261121T105050Z-4f2c1b {record().created} 1 KiB cannot be used: its file is missing",
        f"restore point shop-20261121T105049Z-4f2c1a {record().created} 1 KiB before a migration",
    ]
