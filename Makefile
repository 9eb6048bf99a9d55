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

test: setup
	@$(PY) -m pytest -n $${MERKIT_TEST_WORKERS:-3} --dist loadgroup

# with the dearest tests too: kills by the dozen, whole clusters
test-all: setup
	@MERKIT_TEST_THOROUGH=1 $(PY) -m pytest -n $${MERKIT_TEST_WORKERS:-3} --dist loadgroup

check: setup
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/ty check src

docs:
	@scripts/setup.sh test,dev,viz,docs
	@.venv/bin/mkdocs build --strict

clean:
	rm -rf .venv site .pytest_cache .ruff_cache .hypothesis
