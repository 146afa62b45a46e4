# All targets create and use the virtual environment .venv. Set PYTHON to choose the interpreter.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
SOURCES := src tests training scripts examples setup.py
# For small models, two processes of one thread are faster than one of two threads. Tests of a file share fixtures.
RUN_TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

.PHONY: demo space test test-quick test-slow test-gpu quality style api docs conformance benchmark nano evaluate-nano

$(INSTALLED): setup.py
	@echo "Installing PyTorch and other packages into .venv. This takes several minutes."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip "setuptools>=77" wheel
	$(BIN)/pip install --quiet --editable ".[dev]"
	$(BIN)/pip install --quiet --no-deps tinysoundfont
	touch $@

demo: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python examples/demo.py

space: $(INSTALLED)
	$(BIN)/python examples/space/app.py

test: quality
	$(RUN_TESTS)

# The core, in about a minute.
test-quick: $(INSTALLED)
	$(RUN_TESTS) @tests/quick.txt

test-slow: $(INSTALLED)
	$(RUN_TESTS) -m slow

# Needs a CUDA GPU. It should take at most 5 minutes there, but has not been timed. GPU_REPORT: a JSON file for times and peak memory.
test-gpu: $(INSTALLED)
	$(BIN)/python -m pytest -q -rs -m gpu tests/gpu

quality: $(INSTALLED)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/mypy

style: $(INSTALLED)
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

# Records the public API after an intended change.
api: $(INSTALLED)
	$(BIN)/python -m tests.test_api

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# DIFFUSERS_SRC: a clone of https://github.com/huggingface/diffusers, whose tests are in no release.
conformance: $(INSTALLED)
ifeq ($(wildcard $(DIFFUSERS_SRC)/tests/__init__.py),)
	@echo "Skipped: set DIFFUSERS_SRC to a clone of Diffusers."
else
	DIFFUSERS_SRC=$(DIFFUSERS_SRC) $(RUN_TESTS) -p no:cacheprovider --dist loadscope tests/conformance
endif

benchmark: $(INSTALLED)
	$(BIN)/python scripts/benchmark_inference.py

# Trains jasco-nano from scratch in several hours. Requires fluidsynth and two sound fonts, see scripts/train_nano.sh.
nano: $(INSTALLED)
	PATH=$(CURDIR)/$(BIN):$$PATH scripts/train_nano.sh

evaluate-nano: $(INSTALLED)
	for subset in plain full; do \
		OMP_NUM_THREADS=1 $(BIN)/python scripts/evaluate_jasco.py --checkpoint pipelines/jasco-nano --subset $$subset \
			--test_set v1 --output outputs/nano-$$subset || exit 1; \
	done
