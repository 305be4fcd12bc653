# make demo    set up what is missing, run the whole job on a small real case
# make test    set up what is missing, run every check; with CI=true a missing requirement fails its tests
# make pythons   check the Python versions that this machine has, with the plain dependencies
# make setup   set up only; make setup-tests also what tests need besides
# make reference   complete the stores in reference/: runs what they lack, all of it in two hours on two cores
# make model   average the reference stores, train the reference model for gold L3 and ship it with the package
# make pools   mix the stores in reference/pools into the pools that ship with the package, two minutes
# make docs    serve the site at http://localhost:8000; DOCS="build --strict" builds it into build/site
# make figures   after make model: draw the figures of docs/figures.md from the reference data
# make clean   remove the demo's results and caches, keep the environment

SHELL := /bin/bash
BIN := .venv/bin
DEMO := demo-output
RANKS ?= 2

.PHONY: pools demo test docs figures reference model setup setup-tests lint types pytest pythons clean

demo: setup
	@tools/demo.sh examples/demo.toml $(DEMO) $(RANKS)

MPIRUN = OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe --bind-to none -n $(RANKS)

reference: setup
	@for name in au55 au561 au55-particles au55-sites; do \
		$(MPIRUN) $(BIN)/xanesml simulate reference/$$name.toml --output reference/$$name || exit; \
	done

# What `xanesml models` says of the model that ships.
AU_L3 := networks trained on a 561-atom cluster, for single spectra and for differences from a reference

model: setup
	@for name in au55 au561; do \
		$(MPIRUN) $(BIN)/xanesml average reference/$$name.toml --output reference/$$name || exit; \
	done
	@$(MPIRUN) $(BIN)/xanesml train reference/au561.toml --output reference/au561
	@$(BIN)/python tools/ship_model.py reference/au561/model au-l3 "$(AU_L3)"

# What `xanesml models` says of the pool that ships.
AU_L3_POOL := MSD, bond length and coordination number beside references, by a pool of crystal and particles
CU_K_POOL := MSD and bond length of copper foils beside one of another temperature, by a pool of the crystal
PT_L3_POOL := MSD, bond length and coordination number of platinum beside references, by a pool of crystal and particles

pools: setup
	@$(BIN)/xanesml pool reference/pools/pt-l3.toml --output reference/pools/pt-l3
	@$(BIN)/python tools/ship_model.py reference/pools/pt-l3 pt-l3-pool "$(PT_L3_POOL)"
	@$(BIN)/xanesml pool reference/pools/cu-k.toml --output reference/pools/cu-k
	@$(BIN)/python tools/ship_model.py reference/pools/cu-k cu-k-pool "$(CU_K_POOL)"
	@$(BIN)/xanesml pool reference/pools/au-l3.toml --output reference/pools/au-l3
	@$(BIN)/python tools/ship_model.py reference/pools/au-l3 au-l3-pool "$(AU_L3_POOL)"

DOCS ?= serve
docs: setup
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs $(DOCS)

figures: setup
	@$(BIN)/python tools/figures.py reference/au561 reference/au55 --folder docs/figures

test: setup-tests lint types pythons pytest

setup:
	@tools/setup.sh

setup-tests:
	@tools/setup.sh --tests

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell README.md CHANGELOG.md CONTRIBUTING.md CITATION.cff Makefile setup.cfg pyproject.toml mkdocs.yml \
		benchmarks conda data_schema docs examples hpc jobscripts tests tools xanesml
	$(BIN)/shellcheck tools/*.sh jobscripts/*.sbatch jobscripts/submit-campaign .ci/run

types:
	$(BIN)/mypy

pytest:
	$(BIN)/pytest

pythons:
	@tools/pythons.sh

clean:
	rm -rf $(DEMO) build .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
