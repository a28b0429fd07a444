"""A function's fingerprint follows what it does, wherever that is written."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from tests_support import raises

from feature_platform.definitions import Code, fingerprint
from feature_platform.errors import DefinitionError

MODULE = '''
import functools
import math
from aid import aid

def traced(fn):
    @functools.wraps(fn)
    def run(inputs):
        return fn(inputs)
    return run

NAMES = {"b", "a", "c"}

def helper(x):
    return x * RATE

@traced
def view(inputs):
    """Docs."""
    return {"y": later(inputs["x"]) + math.pi + len(NAMES) + TABLE["h"](1) + Tool.use(2) + aid(3)}

def later(x, allowed=frozenset({"p", "q", "r"})):
    return helper(x) if x in allowed else view(x)

RATE = 2
TABLE = {"h": helper, "s": {"k", "l", "m"}}
TABLE["n"] = 1

class Tool:
    @staticmethod
    @functools.lru_cache
    def use(x):
        return x

def other(x):
    return x
'''


def load(folder: Path, text: str):
    folder.mkdir(exist_ok=True)
    (folder / "aid.py").write_text("def aid(x):\n    return x\nUNUSED = 1\n")
    sys.modules.pop("aid", None)
    sys.path.insert(0, str(folder))
    file = folder / "views.py"
    file.write_text(text)
    spec = importlib.util.spec_from_file_location("views", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(folder))
    return module


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('inputs["x"]', 'inputs["z"]'),
        ("RATE = 2", "RATE = 3"),
        ("return x * RATE", "return x + RATE"),
        ("math.pi", "math.e"),
        ('{"b", "a", "c"}', '{"b", "a", "d"}'),
        ("helper(x) if", "helper(x + 1) if"),
        ('TABLE["n"] = 1', 'TABLE["n"] = 2'),
        ("def use(x):\n        return x", "def use(x):\n        return -x"),
        ("return fn(inputs)", "return fn(inputs) or {}"),
        ('frozenset({"p", "q"', 'frozenset({"o", "q"'),
    ],
)
def test_a_change_of_behaviour_changes_the_fingerprint(tmp_path: Path, old, new) -> None:
    before = fingerprint(load(tmp_path / "a", MODULE).view)
    after = fingerprint(load(tmp_path / "b", MODULE.replace(old, new)).view)

    assert before != after


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Docs."""', '"""Better docs."""'),
        ("return x * RATE", "return (x *  RATE)  # twice"),
        ("def other(x):\n    return x", "def other(x):\n    return x + 1"),
    ],
)
def test_what_does_not_matter_leaves_the_fingerprint(tmp_path: Path, old, new) -> None:
    before = fingerprint(load(tmp_path / "a", MODULE).view)
    after = fingerprint(load(tmp_path / "b", MODULE.replace(old, new)).view)

    assert before == after


def test_helpers_in_other_modules_of_the_repo_count(tmp_path: Path) -> None:
    view = load(tmp_path / "a", MODULE).view
    before = fingerprint(view)
    aid = tmp_path / "a" / "aid.py"
    aid.write_text("def aid(x):\n    return x\nUNUSED = 22\n")
    assert fingerprint(view) == before

    aid.write_text("def aid(x):\n    return x + 1\nUNUSED = 22\n")
    assert fingerprint(view) != before


def test_the_fingerprint_does_not_depend_on_how_far_the_import_got(tmp_path: Path) -> None:
    early = MODULE.replace("def later", "EARLY = __import__('feature_platform.definitions', "
        "fromlist=['fingerprint']).fingerprint(view)\ndef later", 1)  # fmt: skip
    module = load(tmp_path / "a", early)

    assert fingerprint(module.view) == module.EARLY


def test_the_fingerprint_is_the_same_in_every_process(tmp_path: Path) -> None:
    load(tmp_path / "m", MODULE)
    program = (
        "import views; from feature_platform.definitions import fingerprint; "
        "print(fingerprint(views.view))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": str(tmp_path / "m"), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(seen) == 1


def test_code_is_a_path_and_a_hash_and_nothing_that_runs() -> None:
    code = Code.of(test_code_is_a_path_and_a_hash_and_nothing_that_runs)

    assert set(code.model_dump()) == {"module", "qualname", "sha256"}
    assert code.qualname == "test_code_is_a_path_and_a_hash_and_nothing_that_runs"


def test_a_name_given_to_two_functions_is_refused(tmp_path: Path) -> None:
    twice = "def view(i):\n    return 1\nfirst = view\ndef view(i):\n    return 2\n"

    with raises(DefinitionError, tmp_path / "a" / "views.py", "'view'", "2"):
        fingerprint(load(tmp_path / "a", twice).view)


def test_a_function_inside_another_may_refer_to_itself() -> None:
    def outer() -> str:
        found: list[str] = []

        def note(function):
            found.append(fingerprint(function))
            return function

        @note
        def again(inputs):
            return again(inputs)

        return found[0]

    assert outer() == outer()
