"""The data of all servers, and the requests; needs only Python, for Feast's environment."""

import http
import http.client
import json
import os
import sys
import threading
import time

FEATURES = 10
KEYS = 5_000
BATCHES = (1, 10, 100)
CONNECTIONS = (1, 8, 64)
SECONDS = 4.0
TICKS = os.sysconf("SC_CLK_TCK")


def value(key, feature):  # noqa: ANN001, ANN201 - runs where our types are not
    """Return what is stored for a key."""
    return float((key * 31 + feature) % 1009)


def body(batch, number):  # noqa: ANN001, ANN201
    """Return a request; every tenth key is unknown."""
    first = number * 7919
    keys = [(first + n * 31) % (KEYS * 10 // 9) for n in range(batch)]
    features = [f"v0:f{n}" for n in range(FEATURES)]
    return json.dumps({"features": features, "entities": {"key": keys}})


def cpu(pids):  # noqa: ANN001, ANN201
    """Return the cpu seconds that processes have used."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            fields = file.read().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def family(pid):  # noqa: ANN001, ANN201
    """Return a process and its descendants."""
    children = {}
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:  # noqa: PTH123
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(name))
    listed, pending = [], [pid]
    while pending:
        one = pending.pop()
        listed.append(one)
        pending += children.get(one, [])
    return listed


def run(port, batch, connections, headers, pid):  # noqa: ANN001, ANN201
    """Send requests for some seconds; return cpu per request and latencies, in milliseconds."""
    requests = [body(batch, number) for number in range(500)]
    times, lock = [], threading.Lock()
    end = time.perf_counter() + SECONDS

    def work(first):  # noqa: ANN001, ANN202
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        number, mine = first, []
        while time.perf_counter() < end:
            begun = time.perf_counter()
            content = requests[number % len(requests)]
            connection.request("POST", "/get-online-features", content, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != http.HTTPStatus.OK:
                sys.exit(f"status {answer.status}")
            mine.append(time.perf_counter() - begun)
            number += 1
        connection.close()
        with lock:
            times.extend(mine)

    pids = family(pid)
    before = cpu(pids)
    threads = [threading.Thread(target=work, args=(n * 17,)) for n in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = cpu(pids) - before
    times.sort()
    return {
        "cpu": 1000 * spent / len(times),
        "p50": 1000 * times[len(times) // 2],
        "p99": 1000 * times[int(len(times) * 0.99)],
        "per_second": len(times) / SECONDS,
    }
