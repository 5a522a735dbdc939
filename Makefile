# Every command a person needs. `make help` lists them. `make demo` and `make test` also do the set-up.
VENV    ?= .venv
PYTHON  ?= $(shell command -v python3.11 || command -v python3)
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
ARGS    ?=
DATA    ?=
NEW     ?=
JOBS    ?= 2
PYTEST  := $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-containers images check lint types imports compile bench system system-containers audit lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

# torch comes first and alone: an open range would pull several gigabytes of CUDA packages after it.
$(READY): pyproject.toml constraints.txt setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' || \
		{ echo "Parfocal needs Python 3.11 or newer; found $$($(PYTHON) --version). Name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $$(grep '^torch==' constraints.txt)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[platform,volume,dicom,monai,crf,onnx,dev]'
	@touch $(READY)

demo: $(READY)  ## the whole loop: camera A is served, then B arrives. DATA= and NEW= take your own folders
	@$(BIN)/parfocal demo $(if $(DATA),--data $(DATA)) $(if $(NEW),--new $(NEW)) $(ARGS)

# One thread a worker: JOBS processes with as many threads each as there are cores would only fight for them.
test: export OMP_NUM_THREADS ?= 1
test: $(READY)  ## all tests that a machine without a GPU runs in minutes, JOBS= at a time
	$(PYTEST) -m "not slow and not gpu and not containers" $(ARGS)

test-all: $(READY)  ## everything, the long ones too
	$(PYTEST) $(ARGS)

test-containers: $(READY)  ## build the images and run both pipelines and the services inside them
	$(BIN)/python -m pytest -m "containers and not slow" $(ARGS) tests/containers

images: $(READY)  ## build all images; PUSH=registry.example.org/parfocal also sends them there
	$(BIN)/python components/images.py $(addprefix --push ,$(or $(PUSH),$(push))) $(ARGS)

check: lint types imports  ## style, strict types, import contracts

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy
	@mkdir -p build/types && ln -sfn ../../serving build/types/parfocal_serving
	MYPYPATH=src:build/types $(BIN)/mypy -p parfocal_serving

imports: $(READY)
	$(BIN)/lint-imports

compile: $(READY)  ## write every component.yaml and pipeline.yaml anew
	$(BIN)/parfocal pipeline compile

bench: $(READY)  ## ours and a peer in turn, ratios printed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

audit: $(READY)  ## known vulnerabilities in the pinned packages; says so where it cannot know
	@$(BIN)/python .ci/audit.py

lock: $(READY)  ## write constraints.txt from this environment
	@{ sed -n '/^#/p' constraints.txt; $(BIN)/pip list --format=freeze --exclude-editable --exclude pip --exclude setuptools | sed 's:+cpu$$::'; } > .constraints.tmp
	@mv .constraints.tmp constraints.txt

system: ## the Debian packages that the wider tests use (run as root)
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends chromium git postgresql prometheus prometheus-alertmanager

system-containers: ## a container engine, for `make test-containers` where there is none (run as root)
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends debootstrap docker.io

clean:  ## remove what was built here; runs/ stays
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache src/*.egg-info
