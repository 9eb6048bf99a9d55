# Two commands do all their own set-up: `make demo` and `make test`. Nothing is needed but Python >= 3.11, pip and make.
.PHONY: setup demo test test-all check docs clean
SHELL := /bin/bash
# torch's OpenMP threads spin while they wait; passive waiting costs nothing alone and saves milliseconds per operation
# as soon as a second process shares the cores.
export OMP_WAIT_POLICY := PASSIVE
unexport PYTHONDONTWRITEBYTECODE
PY := .venv/bin/python

setup:
	@scripts/setup.sh

demo: setup
	@.venv/bin/merkit demo

# a file's tests stay on one worker, so that what they share is made once (--dist loadgroup does nothing under pytest 9.2 with
# xdist 3.8); files in their order, for the long ones do not have the most tests
test: setup
	@$(PY) -m pytest -n $${MERKIT_TEST_WORKERS:-3} --dist loadfile --no-loadscope-reorder

# with the dearest tests too: kills by the dozen, whole clusters
test-all: setup
	@MERKIT_TEST_THOROUGH=1 $(PY) -m pytest -n $${MERKIT_TEST_WORKERS:-3} --dist loadfile --no-loadscope-reorder

check: setup
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/ty check src

docs:
	@scripts/setup.sh test,dev,viz,docs
	@.venv/bin/mkdocs build --strict

clean:
	rm -rf .venv site .pytest_cache .ruff_cache .hypothesis
