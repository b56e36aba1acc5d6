# Two commands: `make demo` shows the product at work, `make test` runs everything that CI runs.
# A machine needs python3 (3.11 or newer), make and git; the rest is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: demo test lock clean

demo: $(STAMP)
	$(BIN)/outlay up --demo $(ARGS)

test: $(STAMP)
	.ci/check $(ARGS)

$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# Pins every dependency with its hashes; needs uv on the machine. No index address is written.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra dev --no-header \
	    --no-annotate --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
