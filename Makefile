# Every command makes its own environment in .venv; set PYTHON for another interpreter.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
SOURCES := src tests training scripts examples setup.py
# Two processes of one thread are faster on small models than one of two. Tests of a file share what they prepare.
RUN_TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

.PHONY: demo space test test-quick test-slow quality style api docs conformance benchmark nano evaluate-nano

$(INSTALLED): setup.py
	@echo "Installing PyTorch and the rest into .venv: some minutes."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip "setuptools>=77" wheel
	$(BIN)/pip install --quiet torch
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

quality: $(INSTALLED)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/mypy

style: $(INSTALLED)
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

# Records the public API after a change that is meant.
api: $(INSTALLED)
	$(BIN)/python -m tests.test_api

docs: $(INSTALLED)
	$(BIN)/mkdocs build --strict

# DIFFUSERS_SRC: a clone of https://github.com/huggingface/diffusers, whose tests are in no release.
conformance: $(INSTALLED)
ifeq ($(wildcard $(DIFFUSERS_SRC)/tests/__init__.py),)
	@echo "Skipped: set DIFFUSERS_SRC to a clone of Diffusers."
else
	DIFFUSERS_SRC=$(DIFFUSERS_SRC) $(RUN_TESTS) -p no:cacheprovider --dist loadscope tests/conformance
endif

benchmark: $(INSTALLED)
	$(BIN)/python scripts/benchmark_inference.py

# Everything from nothing: needs fluidsynth and two sound fonts (scripts/train_nano.sh names them), and some hours.
nano: $(INSTALLED)
	PATH=$(CURDIR)/$(BIN):$$PATH scripts/train_nano.sh

evaluate-nano: $(INSTALLED)
	for subset in plain full; do \
		OMP_NUM_THREADS=1 $(BIN)/python scripts/evaluate_jasco.py --checkpoint pipelines/jasco-nano --subset $$subset \
			--split test --num_clips 128 --output outputs/nano-$$subset || exit 1; \
	done
