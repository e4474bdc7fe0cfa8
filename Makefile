# Every target sets up .venv by itself; its Python comes first on the path, so that DVC runs the stages with it.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

RECIPES := $(notdir $(basename $(wildcard recipes/*.yaml)))

.PHONY: run draw test test-all verify reproduce experiments bench bench-recipes lint format constraints $(RECIPES)

run: .venv/run.done .git
	@python stages/download.py --check; status=$$?; \
	if [ $$status -eq 0 ]; then \
		dvc repro && dvc metrics show metrics/test.json; \
	elif [ $$status -eq 3 ] && git diff --quiet HEAD -- params.yaml; then \
		printf '\nRunning on the digits that scikit-learn carries instead. For MNIST later:\n'; \
		printf '  git checkout HEAD params.yaml && make run\n\n'; \
		dvc exp run -S download.dataset=optdigits -S preprocess.val_size=137 -S train.lr=0.1 -S train.batch_size=100 \
			&& dvc metrics show metrics/test.json; \
	else \
		exit $$status; \
	fi

# A page to draw digits on. ARGS="--model cnn.onnx" goes to the tool.
draw: .venv/run.done
	@.venv/bin/python tools/draw.py $(ARGS)

# Every module and every command, in minutes; test-all adds kills at random moments, whole searches, and the like.
test: .venv/dev.done .git
	.venv/bin/pytest -m "not long"

test-all: .venv/dev.done .git
	.venv/bin/pytest

# Reads DVC's cache and the outputs again, and names what is damaged.
verify: .venv/run.done .git
	@.venv/bin/python tools/verify.py

# Runs the last commit twice from scratch and compares. ARGS="-S train.model=cnn" goes to `dvc exp run`.
reproduce: .venv/run.done .git
	@.venv/bin/python tools/reproduce.py $(ARGS)

# The experiments, the best on the validation images first, with the parameters in which they differ.
experiments: .venv/run.done .git
	@dvc exp show --no-pager --only-changed --hide-workspace --sort-by metrics/train.json:val_accuracy --sort-order desc \
		--drop 'Created|State|Executor|(stages|data|models|metrics|plots)/.*|.*(loss|ece|low|high|images|errors|parameters|train_accuracy)'

# QUICK=1 ends within two minutes and leaves the committed results alone.
bench: .venv/run.done
	.venv/bin/dvc repro
	.venv/bin/python benchmarks/run.py $(if $(QUICK),--quick)

# make cnn and so on: runs the recipe as an experiment of that name. ARGS="-S train.seed=1" goes to `dvc exp run`.
$(RECIPES): .venv/run.done .git
	@.venv/bin/python tools/recipe.py $@ $(ARGS)

# Measures all recipes, an hour for five seeds; NAMES="cnn mlp" SEEDS=2 measures less.
bench-recipes: .venv/run.done .git
	.venv/bin/python benchmarks/measure_recipes.py --seeds $(or $(SEEDS),5) $(NAMES)

lint: .venv/dev.done
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: .venv/dev.done
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# Pins anew what the direct dependencies pull in; PyTorch's CUDA packages stay free, so that CPU-only builds fit.
constraints:
	$(PYTHON) -m venv --clear .venv/fresh
	sed -e '/^-/d' -e 's/ *#.*//' requirements.txt requirements-dev.txt > .venv/fresh/direct.txt
	.venv/fresh/bin/pip install --quiet -r .venv/fresh/direct.txt
	.venv/fresh/bin/pip freeze | grep -viE '^(setuptools|triton|cuda-|nvidia-)' \
		| grep -vixF -f .venv/fresh/direct.txt > constraints.txt
	rm -r .venv/fresh

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=...")'
	$(PYTHON) -m venv .venv

.venv/run.done: requirements.txt constraints.txt | .venv/bin/python
	.venv/bin/pip install -r requirements.txt
	touch $@

.venv/dev.done: requirements-dev.txt requirements.txt constraints.txt | .venv/bin/python
	.venv/bin/pip install -r requirements-dev.txt
	touch $@ .venv/run.done

# A downloaded archive has no Git history.
.git:
	@echo "DVC's experiments need a Git repository, and this copy is none: making one with a first commit."
	git init --quiet
	git add --all
	git -c user.name=digits -c user.email=digits@localhost commit --quiet --message "Start from a downloaded copy"
