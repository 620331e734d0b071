"""The lines that a stack in Python speaks with the bench, those of run/protocol.ts: arguments in, `ready`, then `done` for each `run N S`."""

import json
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

prepared, options = (json.loads(text) for text in sys.argv[1:3])
name = sys.argv[3]
task, folder = prepared["task"], Path(prepared["dir"])


def read_json(file):
    return json.loads((folder / file).read_text())


def _say(message):
    sys.stdout.write(f"#bench {json.dumps(message)}\n")
    sys.stdout.flush()


def _peak_bytes():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("VmHWM is missing from /proc/self/status")


def _installed(packages):
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            pass
    return found


def serve(run, device, packages):
    """Runs `run` as often as it is asked to, until the input ends."""
    _say({"type": "ready", "device": device, "versions": _installed(packages)})
    for command in sys.stdin:
        times, seconds = map(float, command.split()[1:])
        end = time.perf_counter() + seconds
        ms, values = [], []
        while not ms or (len(ms) < times and time.perf_counter() < end):
            start = time.perf_counter()
            values.append(run())
            ms.append((time.perf_counter() - start) * 1000)
        _say({"type": "done", "ms": ms, "values": values[:5], "peakBytes": _peak_bytes()})
