# Every target but `constraints` sets up .venv if necessary. Its Python comes first on PATH, so that DVC runs the stages with it.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# DVC needs a name, which a user that a container numbers does not have.
export LOGNAME := $(or $(LOGNAME),$(USER),$(shell id -un 2>/dev/null || id -u))
# What fails must not count as made: without it, a virtual environment that lacks pip does.
.DELETE_ON_ERROR:

# pip would compile the packages on a single core; this takes all of them.
COMPILE := .venv/bin/python -m compileall -qq -j 0 .venv/lib || true

# Where uv is installed, it makes and fills .venv, with PyTorch's build for this machine's GPU, or for none; with PyPI's, as pip
# does, where PyTorch's own index is out of reach. An environment that has pip is left to pip.
UV := $(shell uv --version 2>/dev/null)
BY_UV := uv pip install --python .venv/bin/python
install = $(if $(wildcard .venv/bin/pip),.venv/bin/pip install --no-compile -r $(1),\
	$(BY_UV) --torch-backend=$${UV_TORCH_BACKEND:-auto} -r $(1) || $(BY_UV) -r $(1))

# What is to be made if neither this folder nor one above it is a Git repository.
GIT := $(if $(shell git rev-parse --git-dir 2>/dev/null),,.git)

RECIPES := $(notdir $(basename $(wildcard recipes/*.yaml)))

.PHONY: run draw test test-all verify reproduce experiments bench bench-recipes lint format constraints $(RECIPES)

run: .venv/run.done $(GIT)
	@python stages/download.py --check; status=$$?; \
	if [ $$status -eq 0 ]; then \
		dvc repro && dvc metrics show metrics/test.json; \
	elif [ $$status -eq 3 ] && git diff --quiet HEAD -- params.yaml && grep -q '^  dataset: mnist$$' params.yaml; then \
		printf '\nRunning on the digits bundled with scikit-learn instead. To switch to MNIST later:\n'; \
		printf '  git checkout HEAD params.yaml && make run\n\n'; \
		python tools/recipe.py offline --name offline-$$(date +%Y%m%d-%H%M%S) && dvc metrics show metrics/test.json; \
	else \
		exit $$status; \
	fi

# Opens a page to draw digits on. ARGS="--model cnn.onnx" is passed to the tool.
draw: .venv/run.done
	@.venv/bin/python tools/draw.py $(ARGS)

# Every module and every command, in minutes; test-all adds kills at random moments, whole searches, and the like.
test: .venv/dev.done $(GIT)
	.venv/bin/pytest -m "not long"

test-all: .venv/dev.done $(GIT)
	.venv/bin/pytest

# Checks DVC's cache and the outputs, and lists damaged files.
verify: .venv/run.done $(GIT)
	@.venv/bin/python tools/verify.py

# Runs the last commit twice from scratch and compares, also with the committed dvc.lock; ARGS="-S train.model=cnn" runs an
# experiment instead, ARGS="--cpu Haswell" emulates a processor.
reproduce: .venv/run.done $(GIT)
	@.venv/bin/python tools/reproduce.py $(ARGS)

# Lists the experiments by validation accuracy, best first, with the parameters in which they differ, as Markdown, which
# DVC does not cut to the width of the terminal. ARGS="--num 2" is passed to `dvc exp show`.
experiments: .venv/run.done $(GIT)
	@dvc exp show --no-pager --md --only-changed --hide-workspace --sort-by metrics/train.json:val_accuracy --sort-order desc \
		--drop 'Created|State|Executor|(stages|data|models|metrics|plots)/.*|.*(loss|ece|low|high|images|errors|refused|least_logit|parameters|train_accuracy)' \
		$(ARGS) | awk '{ print } /──/ { found = 1 } END { if (!NR) exit 1; if (!found) print "no experiments of this commit: `dvc exp run` runs one; docs/many-experiments.md says how to see earlier ones" }'

# QUICK=1 measures less, in some minutes, and does not overwrite the committed results.
bench: .venv/run.done $(GIT)
	.venv/bin/dvc repro
	.venv/bin/python benchmarks/run.py $(if $(QUICK),--quick)

# make cnn etc.: runs the recipe as an experiment of that name. ARGS="-S train.seed=1" is passed to `dvc exp run`.
$(RECIPES): .venv/run.done $(GIT)
	@.venv/bin/python tools/recipe.py $@ $(ARGS)

# Measures all recipes with six seeds, which takes hours, and goes on after an interruption; fewer: NAMES="cnn mlp" SEEDS=2.
bench-recipes: .venv/run.done $(GIT)
	.venv/bin/python benchmarks/measure_recipes.py --seeds $(or $(SEEDS),6) $(NAMES)

lint: .venv/dev.done
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: .venv/dev.done
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# Updates the pins of indirect dependencies. PyTorch's CUDA packages stay unpinned, so that CPU-only builds install.
constraints:
	$(PYTHON) -m venv --clear .venv/fresh
	sed -e '/^-/d' -e 's/ *#.*//' requirements.txt requirements-machines.txt requirements-dev.txt > .venv/fresh/direct.txt
	.venv/fresh/bin/pip install --quiet -r .venv/fresh/direct.txt
	.venv/fresh/bin/pip freeze | grep -viE '^(setuptools|triton|cuda-|nvidia-)' \
		| grep -vixF -f .venv/fresh/direct.txt > constraints.txt
	rm -r .venv/fresh

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=...")'
	$(if $(UV),uv venv --allow-existing --python "$$(command -v $(PYTHON))",$(PYTHON) -m venv) .venv

.venv/run.done: requirements.txt constraints.txt | .venv/bin/python
	$(call install,requirements.txt)
	@$(COMPILE)
	touch $@

.venv/dev.done: requirements-dev.txt requirements-machines.txt requirements.txt constraints.txt | .venv/bin/python
	$(call install,requirements-dev.txt)
	@$(COMPILE)
	touch $@ .venv/run.done

# A copy downloaded as an archive has no Git repository.
.git:
	@echo "DVC's experiments need a Git repository, which this copy is not: creating one with a first commit."
	git init --quiet
	git -c core.excludesFile=/dev/null add --all
	git -c user.name=digits -c user.email=digits@localhost commit --quiet --no-gpg-sign --no-verify --message "Start from a downloaded copy"
