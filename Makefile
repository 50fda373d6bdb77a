# Targets explain themselves: `make help`. Nothing here names a package index; pip's own configuration is passed on.
PY ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
STORE ?= build/demo/store
STACK ?= build/stack
TRITON := build/inference-venv
LABELSTUDIO := build/labelstudio-venv
LABELSTUDIO_PORT ?= 8085
LABELSTUDIO_ROOT ?= data
MODEL_SERVER ?= builtin
MODEL_PORT ?= 8700
PYTEST ?= $(BIN)/python -m pytest

# uv does not read pip's configuration: pass on only what pip itself would use
export UV_FIND_LINKS ?= $(or $(PIP_FIND_LINKS),$(shell $(PY) -m pip config get global.find-links 2>/dev/null))
export PREFECT_SERVER_ANALYTICS_ENABLED = false
export DO_NOT_TRACK = 1
export ORT_DISABLE_TELEMETRY = 1
export GX_ANALYTICS_ENABLED = false

.DEFAULT_GOAL := help
.PHONY: help canary faults setup setup-dev demo check lint types contracts test test-fast up down nightly report train draw clean inference-env inference-server labelstudio labelstudio-env bench bench-quick bench-gpu bench-page sensitivity-report
.DELETE_ON_ERROR:

help:  ## show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# one stamp per set of extras; a newer pyproject.toml or constraints.txt installs again
$(VENV)/.ok-%: pyproject.toml constraints.txt
ifneq ($(UV),)
	@test -x $(BIN)/python || $(UV) venv -q --seed $(VENV) --python $(PY)
	@echo "installing with uv (extras: $*)"
	@$(UV) pip install -q --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.$(if $(filter none,$*),,[$*])'
else
	@test -x $(BIN)/python || $(PY) -m venv $(VENV)
	@echo "installing with pip (extras: $*)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.$(if $(filter none,$*),,[$*])'
endif
	@touch $@

setup: $(VENV)/.ok-none  ## create the environment and install what the demo needs
setup-dev: $(VENV)/.ok-dev,grpc,openvino,sensitivity,torch  ## install what tests and training need as well

demo: setup  ## run a whole night on the drawn sample: table on the screen, report as a page
	$(BIN)/labelop demo --store $(STORE) --report $(dir $(STORE))report.html

check: setup-dev lint types contracts test-fast  ## lint, types, import contracts and the fast tests

lint: setup-dev  ## ruff: lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup-dev  ## mypy, strict
	$(BIN)/mypy labelop tasks flows tests bench

contracts: setup-dev  ## the arrow of dependency
	$(BIN)/lint-imports

# files of fast tests go to several processes; slow tests start servers and kill workers, one after the other
FAST := -q -n auto --maxprocesses 4 --dist loadfile -m 'not slow'

test-fast: setup-dev  ## tests that take at most a few seconds each
	$(PYTEST) $(FAST)

test: setup-dev lint types contracts  ## lint, types, import contracts and all tests, the slow ones too; what CI runs
	$(PYTEST) $(FAST)
	$(PYTEST) -q -m slow

up: setup  ## start the stack on loopback: Prefect server, two pools with workers, deployments, inference server
	$(BIN)/python deployments/stack.py up --folder $(STACK) --model-server $(MODEL_SERVER)

down:  ## stop the stack
	$(BIN)/python deployments/stack.py down --folder $(STACK)

# environments of their own: PyTriton needs an older NumPy than the rest, Label Studio pins what Prefect excludes
build/%-venv/.ok: deployments/%-requirements.txt
ifneq ($(UV),)
	@test -x $(@D)/bin/python || $(UV) venv -q $(@D) --python $(PY)
	@echo "installing $< with uv"
	@$(UV) pip install -q --compile-bytecode --python $(@D)/bin/python -r $<
else
	@test -x $(@D)/bin/python || $(PY) -m venv $(@D)
	@echo "installing $< with pip"
	@$(@D)/bin/python -m pip install -q --disable-pip-version-check -r $<
endif
	@touch $@

inference-env: $(TRITON)/.ok  ## install the Triton inference server into an environment of its own

inference-server: $(TRITON)/.ok  ## serve the catalog by a real Triton core, on loopback, until stopped
	LD_LIBRARY_PATH=$$($(TRITON)/bin/python -c "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))") \
	PYTHONPATH=. $(TRITON)/bin/python deployments/inference_server.py --port $(MODEL_PORT)

labelstudio-env: $(LABELSTUDIO)/.ok  ## install Label Studio into an environment of its own

labelstudio: setup $(LABELSTUDIO)/.ok  ## start Label Studio on loopback and say where it is; stays until stopped
	PYTHONPATH=. $(BIN)/python deployments/labelstudio.py --folder build/labelstudio --root $(LABELSTUDIO_ROOT) --port $(LABELSTUDIO_PORT)

sensitivity-report: setup-dev  ## recall and precision of the signals on the drawn evaluation set
	$(BIN)/labelop classify evaluate data/sample/sensitivity

draw: setup-dev  ## draw the sample data again, byte for byte
	$(BIN)/python -m data.sample.draw

train: setup-dev  ## learn the sample's models again (resumable)
	$(BIN)/python -m data.sample.train

canary: setup-dev  ## prove what leaves: thousands of attempts, layers taken away, nights without a network; tables
	$(PYTEST) -q tests/canary
	$(BIN)/python -m tests.canary.results

faults: setup-dev  ## kill, cut and break everything in full size: counts in bench/results/faults.json (takes long)
	$(BIN)/python -m tests.faults

bench: $(VENV)/.ok-bench  ## peers, floor and ours in one run: ratios, JSON and plots in bench/results
	$(BIN)/python -m bench

bench-quick: $(VENV)/.ok-bench  ## the same with fewer models and rounds, below five minutes
	$(BIN)/python -m bench --quick

bench-gpu: $(VENV)/.ok-bench  ## RT-DETR r50 on a GPU: peers, ours, the pure forward rate, decoding; see docs/gpu.md
	$(BIN)/python -m bench --device cuda

bench-page: $(VENV)/.ok-bench  ## write the results of `make bench` into docs/benchmarks.md
	$(BIN)/python -m bench.page bench/results/full.json

clean:  ## remove what demo, stack and checks wrote
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
