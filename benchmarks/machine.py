"""The header of every benchmark: what it ran on. And how a whole process tree is timed and weighed."""

import os
import platform
import subprocess
import threading
import time
from importlib.metadata import version
from pathlib import Path


def header(*packages: str) -> str:
    """One line: processor, cores, memory, Python and the versions of `packages`."""
    model = next(
        (line.split(":")[1].strip() for line in _read("/proc/cpuinfo").splitlines() if line.startswith("model name")),
        platform.processor(),
    )
    flags = set(_read("/proc/cpuinfo").split("flags", 1)[-1].splitlines()[0].split())
    isa = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    memory = next((line.split()[1] for line in _read("/proc/meminfo").splitlines() if line.startswith("MemTotal")), "0")
    names = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"{model} ({' '.join(isa)}), {os.cpu_count()} cores, {int(memory) / 2**20:.0f} GiB; "
        f"Python {platform.python_version()}; {names}"
    )


def spread(values: list[float], unit: str = "", digits: int = 2) -> str:
    """`median [min, max]` of repeated measurements."""
    ordered = sorted(values)
    middle = ordered[len(ordered) // 2] if len(ordered) % 2 else sum(ordered[len(ordered) // 2 - 1 :][:2]) / 2
    return f"{middle:.{digits}f}{unit} [{ordered[0]:.{digits}f}, {ordered[-1]:.{digits}f}] (n={len(ordered)})"


def run_and_weigh(argv: list[str], **popen: object) -> tuple[float, float, int]:
    """Runs a command; returns wall seconds, peak resident MiB of the whole process tree (PSS summed, polled), exit code."""
    begun = time.perf_counter()
    process = subprocess.Popen(argv, **popen)
    peak = 0.0
    stop = threading.Event()

    def poll() -> None:
        nonlocal peak
        while not stop.wait(0.2):
            peak = max(peak, sum(_pss_mib(pid) for pid in _tree(process.pid)))

    watcher = threading.Thread(target=poll, daemon=True)
    watcher.start()
    code = process.wait()
    wall_s = time.perf_counter() - begun
    stop.set()
    watcher.join()
    return wall_s, peak, code


def _tree(pid: int) -> list[int]:
    found, fresh = [pid], [pid]
    while fresh:
        children = []
        for parent in fresh:
            for task in Path(f"/proc/{parent}/task").glob("*/children"):
                children += [int(child) for child in _read(task).split()]
        found += children
        fresh = children
    return found


def _pss_mib(pid: int) -> float:
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
