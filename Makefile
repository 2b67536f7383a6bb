# make run    a stack on this machine with a demo shop (Ctrl-C stops it)
# make test   the fast tests and one walk through a whole stack; more examples of each property with
#             HYPOTHESIS_PROFILE=thorough, as in CI
# make check  everything that is checked before a change goes in
# make bench  the figures of docs/benchmarks.md; make soak: twenty minutes under load,
#             with workers that die and a bus that is away, and 84,000 reports held against SQL
# Needs Python 3.11 or newer and make; everything else is installed into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
INSTALLED := $(VENV)/.installed
JOBS ?= 2
# Services and tests start many processes: none is to compile what another has compiled already.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test check bench soak lock install clean

run: $(INSTALLED)
	$(BIN)/tallymark up --demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -m "not slow" -n $(JOBS)
	$(BIN)/python -m pytest tests/cli/test_smoke.py -m "not bigtable"

check: $(INSTALLED)
	scripts/check.sh

bench: $(INSTALLED)
	for name in collector redaction decode rules bus wide_rows rules_cache report report_ranges report_load streaming ruled_streaming replay freshness restart memory; do \
	    $(BIN)/python -m benchmarks.$$name || exit 1; done

soak: $(INSTALLED)
	$(BIN)/python -m scripts.soak
	HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest tests/report_api/test_drawn_reports.py

# Compile requirements.lock again after a change of pyproject.toml.
lock: $(INSTALLED)
	$(BIN)/uv pip compile --universal --python-version 3.11 --no-emit-index-url \
	    --generate-hashes --group dev pyproject.toml -o requirements.lock

install: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and \
	    f"Python 3.11 or newer is needed, {sys.executable} is {v[0]}.{v[1]}; set PYTHON=…" or 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
