from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

from ansible_collections.railiance.stack.plugins.module_utils._runner import (
    Command,
    Ran,
    When,
    last_word,
    parse,
    runner_argv,
    stopped,
)


def script(name, code, **options):
    return Command(name, (sys.executable, "-c", code), **options)


def run(commands, **options):
    stdin = options.pop("stdin", None)
    argv = runner_argv(sys.executable, commands, stdin=stdin is not None, **options)
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60, check=False)
    return done, *parse(done.stdout + done.stderr, commands)


def test_both_streams_and_the_exit_code_come_back():
    commands = [script("a", "import sys; print('one\\n\\n  two'); print('oh', file=sys.stderr); sys.exit(3)", ok=(3,))]
    done, ran, stray = run(commands)
    assert done.returncode == 0
    assert last_word(done.stdout) == 0
    assert last_word(done.stdout.removesuffix("0\n")) is None
    assert ran == {"a": Ran(3, "one\n\n  two", "oh")}
    assert stray == ""


def test_a_failure_ends_it_with_the_same_code():
    done, ran, _ = run([script("a", "raise SystemExit(5)"), script("b", "print(1)")])
    assert done.returncode == last_word(done.stdout) == 5
    assert list(ran) == ["a"]


def test_a_step_runs_only_after_the_words_it_waits_for():
    look = script("look", "print('something to do'); raise SystemExit(1)", ok=(0, 1))
    after = script("after", "print('done')", when=When("look", (1,), "to do"))
    other_words = script("other", "print('done')", when=When("look", (1,), "nothing"))
    other_code = script("code", "print('done')", when=When("look", (0,), "to do"))
    _, ran, _ = run([look, after, other_words, other_code])
    assert list(ran) == ["look", "after"]


def test_environment_of_a_step_stays_in_that_step():
    code = "import os; print(os.environ.get('PGOPTIONS'))"
    _, ran, _ = run([script("a", code, env={"PGOPTIONS": "x"}), script("b", code)])
    assert (ran["a"].stdout, ran["b"].stdout) == ("x", "None")


def test_a_secret_comes_on_standard_input_and_is_in_no_argument():
    commands = [script("a", "import os; print(os.environ['CANARY'][::-1])")]
    done, ran, _ = run(commands, stdin=json.dumps({"CANARY": "yranac"}) + "\n")
    assert ran["a"].stdout == "canary"
    assert "yranac" not in json.dumps(done.args)


def test_a_program_that_does_not_exist_is_told():
    done, ran, _ = run([Command("a", ("/nowhere/python",))])
    assert done.returncode == last_word(done.stdout) == 127
    assert ran["a"].rc == 127
    assert "No such file" in ran["a"].stderr


def test_it_runs_in_the_directory_asked_for(tmp_path):
    _, ran, _ = run([script("a", "import os; print(os.getcwd())")], directory=str(tmp_path))
    assert ran["a"].stdout == str(tmp_path)


def test_the_end_of_the_pod_reaches_the_command():
    code = "import signal, time; signal.signal(15, lambda *_: exit(9)); print('up', flush=True); time.sleep(60)"
    commands = [script("a", code)]
    process = subprocess.Popen(runner_argv(sys.executable, commands), stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "a out up\n"
    began = time.monotonic()
    os.kill(process.pid, signal.SIGTERM)
    ran, _ = parse(process.communicate(timeout=30)[0], commands)
    assert ran["a"].rc == 9
    assert time.monotonic() - began < 20


def test_a_log_that_was_cut_off_says_so():
    ran, stray = parse("a out half", [script("a", "")])
    assert ran == {"a": Ran(-1, "half", "")}
    ran, stray = parse("Traceback: no python", [script("a", "")])
    assert (ran, stray) == ({}, "Traceback: no python")


COMPANION = """
import sys
print("ready yes", flush=True)
for line in sys.stdin:
    print("heard", line.strip(), flush=True)
    if line.strip() == "end":
        break
"""


def test_a_companion_stays_until_the_steps_after_it_are_through():
    companion = script("look", COMPANION, companion="ready")
    step = script("step", "print('done')", when=When("look", (0,), "yes"))
    done, ran, _ = run([companion, step])
    assert done.returncode == 0
    assert ran == {"look": Ran(0, "ready yes\nheard end", ""), "step": Ran(0, "done", "")}
    assert done.stdout.index("step rc 0") < done.stdout.index("heard end")


def test_a_companion_hears_of_the_end_also_when_a_step_fails():
    done, ran, _ = run([script("look", COMPANION, companion="ready"), script("step", "raise SystemExit(7)")])
    assert done.returncode == 7
    assert ran["look"].stdout == "ready yes\nheard end"


def test_a_companion_that_ends_by_itself_is_a_step_like_others():
    done, ran, _ = run([script("look", "raise SystemExit(3)", companion="ready"), script("step", "print(1)")])
    assert (done.returncode, list(ran)) == (3, ["look"])


def test_what_hangs_is_stopped_when_the_time_is_over_after_its_companion_was_told():
    began = time.monotonic()
    hanging = script("step", "import time; print('up', flush=True); time.sleep(60)")
    done, ran, _ = run([script("look", COMPANION, companion="ready"), hanging], timeout=2)
    assert time.monotonic() - began < 8
    assert (done.returncode, stopped(done.stdout)) == (124, "timeout")
    assert ran["step"] == Ran(-15, "up", "")
    assert ran["look"] == Ran(0, "ready yes\nheard stop\nheard end", "")
    assert last_word(done.stdout) == 124
