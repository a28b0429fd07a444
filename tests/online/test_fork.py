"""A store that is used on after a fork answers for its own requests."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests_support import environment

TESTS = Path(__file__).parents[1]

FORKED = """
import os, sys
from feature_platform import RepoConfig
from feature_platform.online import encode_keys
from online.test_contract import ONE, NOON, batch, observed
from pathlib import Path
import json

config = RepoConfig(project="p", online_store=json.loads(sys.argv[1]))
store = config.online_store.open(Path(sys.argv[2]))
store.write(ONE, [batch(ONE, *(observed(n, NOON, n) for n in range(300)))])
store.read([(ONE, encode_keys([[1]], 1))])

def wrong(seed):
    asked = [(seed * 7 + n * 11) % 300 for n in range(250)]
    found = 0
    for key in asked[:60]:
        [stored] = store.read([(ONE, encode_keys([[key]], 1))])
        found += stored.values[0][0] != key
    [stored] = store.read([(ONE, encode_keys([asked], 250))])
    return found + sum(row[0] != key for row, key in zip(stored.values, asked))

children = []
for seed in range(2):
    pid = os.fork()
    if pid == 0:
        os._exit(min(wrong(seed + 1), 99))
    children.append(pid)
mine = wrong(9)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
print(json.dumps([mine, *codes]), flush=True)
os._exit(0)
"""


def test_a_fork_has_connections_of_its_own(online_settings: dict[str, Any], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED, json.dumps(online_settings), str(tmp_path)],
        cwd=TESTS,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout, done.stderr
    assert json.loads(done.stdout) == [0, 0, 0]
