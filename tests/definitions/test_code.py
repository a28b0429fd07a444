"""A function's fingerprint follows what it does, wherever that is written."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from feature_platform.definitions import Code, fingerprint

MODULE = '''
import math
RATE = 2
NAMES = {"b", "a", "c"}

def helper(x):
    return x * RATE

def view(inputs):
    """Docs."""
    return {"y": helper(inputs["x"]) + math.pi + len(NAMES)}

def other(x):
    return x
'''


def load(folder: Path, text: str):
    folder.mkdir(exist_ok=True)
    file = folder / "views.py"
    file.write_text(text)
    spec = importlib.util.spec_from_file_location("views", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('inputs["x"]', 'inputs["z"]'),
        ("RATE = 2", "RATE = 3"),
        ("return x * RATE", "return x + RATE"),
        ("math.pi", "math.e"),
        ('{"b", "a", "c"}', '{"b", "a", "d"}'),
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
