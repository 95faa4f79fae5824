"""The programs are played by a few lines of Python; tests/integration has the real ones."""

from __future__ import annotations

import os
import sys

import pytest
from ansible_collections.railiance.stack.plugins.module_utils._command import Ran
from ansible_collections.railiance.stack.plugins.module_utils._errors import NeedsOperator, StackError
from ansible_collections.railiance.stack.plugins.module_utils._restore_age import Age, Key, check_recipients

AGE = """
import sys
if "--encrypt" in sys.argv:
    data = sys.stdin.buffer.read()
    if data == b"full":
        sys.exit("age: error: failed to write to output: no space left on device")
    sys.stdout.buffer.write(b"sealed:" + data)
else:
    key, data = open(sys.argv[-2]).read(), open(sys.argv[-1], "rb").read()
    if key != "right":
        sys.exit("age: error: no identity matched any of the recipients\\nage: report unexpected errors at ...")
    if not data.startswith(b"sealed:"):
        sys.exit("age: error: failed to read header")
    sys.stdout.buffer.write(data[7:])
"""


@pytest.fixture
def age():
    answers = {
        ("age-keygen",): Ran(0, "# created: now\n# public key: age1abc\nAGE-SECRET-KEY-1X\n"),
        ("age-keygen", "-y", "/key"): Ran(0, "age1abc\n"),
        ("age-keygen", "-y", "/other"): Ran(1, "", "age-keygen: error: malformed"),
    }
    return Age(lambda command, environment=None: answers[tuple(command)], (sys.executable, "-c", AGE))


@pytest.mark.parametrize(
    ("recipient", "message"),
    [
        (
            "AGE-SECRET-KEY-1QQQQ",
            "recipients holds a private key. Give the public key, which begins with age1.",
        ),
        (
            "you@example.org",
            "recipients: 'you@example.org' is no public key of age. Give keys that begin with age1 or ssh-ed25519.",
        ),
    ],
)
def test_what_is_no_public_key_is_refused(recipient, message):
    with pytest.raises(StackError) as error:
        check_recipients([recipient])
    assert str(error.value) == message


def test_public_keys_are_taken():
    check_recipients(["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", "ssh-ed25519 AAAA you@there"])


def test_keys(age):
    key, public = age.generate()
    assert (key.text.splitlines()[-1], public) == ("AGE-SECRET-KEY-1X", "age1abc")
    assert age.public_keys("/key") == ["age1abc"]
    with pytest.raises(StackError, match=r"^/other holds no key of age: age-keygen: error: malformed\."):
        age.public_keys("/other")


def test_there_and_back(age, tmp_path):
    path, key = str(tmp_path / "file"), tmp_path / "key"
    key.write_text("right")
    with age.encrypting(["age1abc"], path) as sink:
        sink.write(b"content")
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert b"".join(age.decrypting(path, Key(path=str(key)))) == b"content"
    assert b"".join(age.decrypting(path, Key(text="right"))) == b"content"


def test_a_key_that_does_not_fit_needs_the_operator(age, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"sealed:content")
    with pytest.raises(NeedsOperator) as error:
        list(age.decrypting(str(path), Key(path=__file__)))
    assert str(error.value) == (
        f"The key {__file__} does not open {path}. "
        "Put the private key of one of the restore point's recipients there, mode 0600."
    )


def test_a_file_that_age_cannot_read_is_named(age, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"anything")
    with pytest.raises(StackError, match=r"file cannot be decrypted: failed to read header\. Choose another"):
        list(age.decrypting(str(path), Key(text="right")))


def test_a_disk_that_runs_full_is_a_sentence(age, tmp_path):
    with (
        pytest.raises(StackError) as error,
        age.encrypting(["age1abc"], str(tmp_path / "file")) as sink,
    ):
        sink.write(b"full")
    assert str(error.value) == (
        f"{tmp_path} ran full while the restore point was written. "
        "Make room there, or name another directory. Nothing was left behind."
    )


def test_an_error_in_the_block_is_passed_on(age, tmp_path):
    with pytest.raises(KeyError), age.encrypting(["age1abc"], str(tmp_path / "file")):
        raise KeyError
