# make run                              the main job, on simulated data
# make run CONFIG=configs/ludb.yaml     the same on the real LUDB
# make slurm PARTITION=... ACCOUNT=...  the same on a SLURM cluster; GPU_PARTITION=... for training
# make test                             lint and all tests
# make test-slurm                       tests on a SLURM of their own; needs root and Debian
# make bench                            speed of codec, tokenising, scoring, reading, training
# make bench-scale                      growth of the whole run with its data; SCALES="1 10 100"
# make bench-no-op                      a run with nothing to do, of the largest configuration or CONFIG
# make lock                             newer versions of all packages in constraints.txt
# make clean                            remove what runs have written
PY ?= python3
VENV ?= .venv
CORES ?= 2
CONFIG ?=
ARGS ?=
# Of bench-scale: in units of 200 records. FOLDER keeps the runs, so that it can go on.
SCALES ?= 1 10 100
FOLDER ?=
# Of SLURM; GPU_PARTITION is for training. Empty: what profiles/slurm says.
PARTITION ?= $(SBATCH_PARTITION)
GPU_PARTITION ?= $(SBATCH_GPU_PARTITION)
ACCOUNT ?= $(SBATCH_ACCOUNT)
# Where pip finds torch, when the default index is not wanted: see README, "CPU or GPU".
TORCH_INDEX ?=

MISSING := $(foreach file,$(CONFIG),$(if $(wildcard $(file)),,$(file)))
ifneq ($(MISSING),)
$(error CONFIG=$(MISSING): no such file; shipped: $(wildcard configs/*.yaml))
endif

# Snakemake forgets the resources of its profile where --resources is given: trainings take turns on a
# GPU all the same, unless ARGS says otherwise behind it.
OPTIONS := $(subst --resources ,--resources gpu=1 ,$(subst --resources=,--resources ,$(ARGS)))

# ARGS that make no report, after which there is no headline: dry runs, what only prints, targets.
RULES := $(shell sed -n 's/^rule \([a-z0-9_]*\):.*/\1/p' Snakefile rules/*.smk)
# What follows these options is no target.
OWN := $(shell printf '%s' ' $(ARGS)' | sed -E 's/ (-R|-O|--forcerun|--omit-from|--allowed-rules|--until|-U)(( |=)[^ -][^ ]*)+//g')
PARTIAL := $(filter -n% --dry-run --dryrun --dag --rulegraph --filegraph --summary --unlock --list% \
  --lint --touch --directory% --delete-% --cleanup-% --report% -U --until,$(ARGS)) \
  $(filter results/% resources/% $(filter-out all write_report,$(RULES)),$(OWN))

STAMP := $(VENV)/.installed
SLURM_STAMP := $(VENV)/.installed-slurm
BIN := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH)

# Refuses a second run in this folder, and clears up after one that was killed.
SNAKEMAKE := python -m openecg.head snakemake
CONFIGFILE := $(if $(CONFIG),--configfile $(CONFIG))
HEADLINE = $(if $(strip $(PARTIAL)),,@python -m openecg print-headline --frames results/metrics/frames.tsv \
	  --boundaries results/metrics/boundaries.tsv --report results/report.html)

.PHONY: run slurm test lint unit test-slurm bench bench-scale bench-no-op lock clean
run: $(STAMP)
	$(SNAKEMAKE) --cores $(CORES) $(OPTIONS) $(CONFIGFILE)
	$(HEADLINE)

slurm: $(SLURM_STAMP)
	$(if $(PARTITION),SBATCH_PARTITION=$(PARTITION)) $(if $(GPU_PARTITION),SBATCH_GPU_PARTITION=$(GPU_PARTITION)) \
	  $(if $(ACCOUNT),SBATCH_ACCOUNT=$(ACCOUNT)) USER=$${USER:-$$(id -un)} $(SNAKEMAKE) --workflow-profile profiles/slurm $(ARGS) $(CONFIGFILE)
	$(HEADLINE)

test: lint unit

lint: $(STAMP)
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile rules
	snakemake --lint

unit: $(STAMP)
	pytest -n $(CORES) --dist loadgroup $(ARGS)

test-slurm: $(SLURM_STAMP)
	python -m tests.slurm.cluster install
	OPENECG_SLURM=1 pytest -v tests/slurm $(ARGS)

bench: $(STAMP)
	OMP_NUM_THREADS=1 python -m benchmarks.bench $(ARGS)

bench-scale: $(STAMP)
	python -m benchmarks.scale $(SCALES) --cores $(CORES) $(if $(FOLDER),--folder $(FOLDER)) $(ARGS)

bench-no-op: $(STAMP)
	python -m benchmarks.no_op $(CONFIG)

$(STAMP): pyproject.toml constraints.txt
	@echo "installing into $(VENV) what constraints.txt names"
	test -x $(BIN)/python || $(PY) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install -q --no-deps torch==2.13.0 --index-url $(TORCH_INDEX))
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install -q -e ".[dev]"
	touch $@

$(SLURM_STAMP): $(STAMP)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install -q -e ".[slurm]"
	touch $@

# Newer versions of all packages, within pyproject.toml and constraints.in.
lock: $(STAMP)
	python -m pip install -q uv
	uv pip compile --upgrade --universal -p 3.11 --no-annotate --no-header --all-extras \
	  -c constraints.in pyproject.toml -o constraints.txt

# results/README.md is in git.
clean:
	find results -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +
	rm -rf .snakemake
