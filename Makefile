# Each target makes its own environment in $(VENV) when there is none.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Compiled modules are kept, also where the machine's settings say not to (images of containers often
# do): tests, demo and benchmarks start interpreters by the hundred, and each would compile Airflow.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test compat faults bench bench-gpu bench-quality bench-promotion bench-feedback bench-lifecycle bench-kubernetes lint format clean
.DEFAULT_GOAL := test

$(STAMP): pyproject.toml constraints.txt .ci/environment
	@PYTHON="$(PYTHON)" sh .ci/environment "$(VENV)"
	@touch "$@"

demo: $(STAMP)  ## a whole life of a project on a real Airflow; DEMO_HOME=DIR keeps it
	@$(BIN)/python -m airflow_ai_provider.demo

test: $(STAMP)  ## everything that fits twelve minutes on two cores
	@$(BIN)/python -m pytest -m "not faults" -n 4 --dist loadfile --no-loadscope-reorder \
		--durations 40 --durations-min 5

compat: $(STAMP)  ## the wheel on the oldest Airflow that is promised, in build/
	@sh .ci/compat $(BIN)/python 3.2.2

faults: $(STAMP)  ## the long fault runs
	@$(BIN)/python -m pytest -m faults --timeout 3600

bench: bench-gpu bench-quality bench-promotion bench-feedback bench-lifecycle bench-kubernetes  ## every benchmark

bench-gpu: $(STAMP)  ## the GPU-slot pool's figures beside their goals, also in build/bench/gpu.json
	@$(BIN)/python -m tests.bench.gpu

bench-feedback: $(STAMP)  ## taking feedback in beside its goals, also in build/bench/feedback.json
	@$(BIN)/python -m tests.bench.feedback

bench-kubernetes: $(STAMP)  ## GPUs of a cluster, on the emulator, beside their goals, also in build/bench/kubernetes.json
	@$(BIN)/python -m tests.bench.kubernetes

bench-lifecycle: $(STAMP)  ## runs under CriticalPathPriority beside Airflow's rules, also in build/bench/lifecycle.json
	@$(BIN)/python -m tests.bench.lifecycle

bench-promotion: $(STAMP)  ## what judging and moving costs beside its goals, also in build/bench/promotion.json
	@$(BIN)/python -m tests.bench.promotion

bench-quality: $(STAMP)  ## the data gate's figures beside their goals, also in build/bench/quality.json
	@$(BIN)/python -m tests.bench.quality

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(STAMP)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
