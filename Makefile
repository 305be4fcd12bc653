# make demo    set up what is missing, run the whole job on a small real case
# make test    set up what is missing, run every check
# make setup   set up only
# make reference   run the reference campaigns, hours on two cores; started again, it continues
# make clean   remove the demo's results and caches, keep the environment

SHELL := /bin/bash
BIN := .venv/bin
DEMO := demo-output
RANKS ?= 2

.PHONY: demo test reference setup lint types pytest clean

demo: setup
	@tools/demo.sh examples/demo.toml $(DEMO) $(RANKS)

reference: setup
	@for campaign in reference/*.toml; do \
		OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe --bind-to none -n $(RANKS) \
			$(BIN)/xanesml simulate $$campaign --output reference/$$(basename $$campaign .toml) || exit; \
	done

test: setup lint types pytest

setup:
	@tools/setup.sh

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell README.md CHANGELOG.md CITATION.cff Makefile setup.cfg pyproject.toml \
		benchmarks data_schema docs examples hpc jobscripts tests tools xanesml
	$(BIN)/shellcheck tools/*.sh jobscripts/*.sbatch .ci/run

types:
	$(BIN)/mypy

pytest:
	$(BIN)/pytest

clean:
	rm -rf $(DEMO) build .mypy_cache .pytest_cache .ruff_cache .hypothesis
