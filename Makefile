# make run                              the main job, on simulated data
# make run CONFIG=configs/ludb.yaml     the same on the real LUDB
# make test                             lint and all tests
# make bench                            speed of the codec, of tokenising and of scoring
PY ?= python3
VENV ?= .venv
CORES ?= 2
CONFIG ?=
ARGS ?=
# Where pip finds torch, when the default index is not wanted: see README, "CPU or GPU".
TORCH_INDEX ?=

# Trainings take turns on a card; without one, as many run at once as cores allow.
GPUS := $(shell nvidia-smi -L 2>/dev/null | grep -c GPU)
GPU_JOBS := $(if $(filter-out 0,$(GPUS)),$(GPUS),$(CORES))

STAMP := $(VENV)/.installed
BIN := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH)

.PHONY: run test lint unit bench clean
run: $(STAMP)
	$(if $(and $(CONFIG),$(if $(wildcard $(CONFIG)),,missing)),$(error CONFIG=$(CONFIG): no such file; shipped: $(wildcard configs/*.yaml)))
	snakemake --cores $(CORES) $(ARGS) --resources gpu=$(GPU_JOBS) $(if $(CONFIG),--configfile $(CONFIG))
	$(if $(ARGS),,@python -m openecg print-headline --frames results/metrics/frames.tsv \
	  --boundaries results/metrics/boundaries.tsv --report results/report.html)

test: lint unit

lint: $(STAMP)
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile rules
	snakemake --lint

unit: $(STAMP)
	pytest -n $(CORES) --dist loadgroup $(ARGS)

bench: $(STAMP)
	OMP_NUM_THREADS=1 python -m benchmarks.bench $(ARGS)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PY) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install -q --no-deps torch==2.13.0 --index-url $(TORCH_INDEX))
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install -q -e ".[dev]"
	touch $@

clean:
	rm -rf results .snakemake
