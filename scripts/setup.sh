#!/usr/bin/env bash
# Makes .venv with merkit and the named extras. CPU torch where pip is configured with a wheel folder; else the registry's.
# Usage: scripts/setup.sh [EXTRAS]      (default: test,dev,viz)
set -euo pipefail
unset PYTHONDONTWRITEBYTECODE   # with it set, every process recompiles torch's sources: 14 s to import instead of 5
cd "$(dirname "$0")/.."
extras=${1:-test,dev,viz}
[ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
py=.venv/bin/python
stamp=.venv/.merkit-setup
want="$extras $(cat pyproject.toml constraints.txt scripts/setup.sh | cksum)"
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then exit 0; fi
# uv reads no pip settings: hand over pip's wheel folders (space-separated there, commas here)
links=${PIP_FIND_LINKS:-$($py -m pip config get global.find-links 2>/dev/null || true)}
if [ -n "$links" ]; then export UV_FIND_LINKS="${UV_FIND_LINKS:-$(echo "$links" | tr ' ' ',')}"; fi
echo "merkit: installing into .venv (extras: $extras)"
$py -m pip install -q 'uv>=0.9'
pins=()
# constraints.txt was resolved for Python 3.11; newer Pythons resolve for themselves
if $py -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then pins=(-c constraints.txt); fi
$py -m uv pip install -q --python $py "${pins[@]}" -e ".[$extras]"
if [ "${CI:-}" = true ] && $py -m pip list 2>/dev/null | grep -qi '^nvidia-'; then
  echo "merkit: CUDA packages were installed although CI asked for a CPU build" >&2; exit 1
fi
echo "$want" > "$stamp"
