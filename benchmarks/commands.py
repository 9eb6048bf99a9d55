"""Commands as a user types them, each in a process of its own, with what it took."""

import resource
import subprocess
import sys
import time

__all__ = ["merkit"]


def merkit(*words: object) -> None:
    """One command in a process of its own, and what it took."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "merkit.cli.main", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{time.perf_counter() - begun:6.1f} s  {cpu_s:6.1f} s of CPU  {' '.join(map(str, words[:3]))}", flush=True)
