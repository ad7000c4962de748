# Each target makes the environment it needs first; Python 3.11 is all that must be there.

PYTHON ?= python3.11
VENV := .venv
ULTRALYTICS := .ultralytics
BIN := $(VENV)/bin

.PHONY: demo serve test unit coverage lint audit wheel lock bench clean

demo: $(VENV)/.runtime  ## Label Studio, the backend and a project with pictures, connected
	$(BIN)/python -m backend demo

serve: $(VENV)/.runtime  ## the backend alone, for a Label Studio that is already there
	$(BIN)/python -m backend serve

test: $(VENV)/.development $(ULTRALYTICS)/.ready chromium redis-server nginx lint audit  ## linter, type checker and all tests
	mkdir -p runs
	# The browser's tests wait more than they work, so they run beside the others.
	$(BIN)/python -m pytest tests/browser >runs/browser-tests.log 2>&1 & browser=$$!; \
	$(BIN)/python -m pytest --ignore tests/browser; status=$$?; \
	wait $$browser || status=1; cat runs/browser-tests.log; exit $$status

# Folders whose tests start neither a server in a process of its own nor a browser, nor load the model.
UNIT := $(addprefix tests/backend/,codecs core labeling monitoring settings transport)

unit: $(VENV)/.development  ## the quick tests, for every save
	$(BIN)/python -m pytest -q $(UNIT)

coverage: $(VENV)/.development redis-server nginx  ## lines and branches that no test outside of the browser runs
	$(BIN)/python -m pytest --ignore tests/browser --cov --cov-report=term-missing:skip-covered

wheel: $(VENV)/.development  ## dist/*.whl
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

lint: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

audit: $(VENV)/.development  ## known vulnerabilities in what is installed, where they can be asked for
	$(BIN)/python .ci/audit.py

# Versions that are in the lock files already stay, as far as the requirements let them.
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --custom-compile-command "make lock"

lock: $(VENV)/.development  ## the lock files anew, after a change of requirements; `rm` them first to update all
	$(BIN)/$(COMPILE) requirements-dev.txt --output-file requirements-dev.lock
	$(BIN)/$(COMPILE) requirements.txt --constraints requirements-dev.lock --output-file requirements.lock

bench: $(VENV)/.runtime redis-server  ## the model and the codec beside their peers; the service under load
	$(BIN)/python -m benchmarks.bench_model
	$(BIN)/python -m benchmarks.bench_service
	$(BIN)/python -m benchmarks.bench_brush
	$(BIN)/python -m benchmarks.bench_earlier_regions
	$(BIN)/python -m benchmarks.bench_memory
	$(BIN)/python -m benchmarks.bench_export
	$(BIN)/python -m benchmarks.bench_scale
	$(BIN)/python -m benchmarks.soak

$(VENV)/.runtime: requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --requirement requirements.lock
	touch $@

$(VENV)/.development: requirements-dev.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --requirement requirements-dev.lock
	touch $@ $(VENV)/.runtime

# The loader of a trainer, whose licence is not this project's, beside all packages of the tests.
$(ULTRALYTICS)/.ready: requirements-ultralytics.txt $(VENV)/.development
	$(PYTHON) -m venv $(ULTRALYTICS)
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
		>$$($(ULTRALYTICS)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/development.pth
	$(ULTRALYTICS)/bin/pip install --quiet --no-deps --requirement requirements-ultralytics.txt
	touch $@

.PHONY: chromium
chromium:  # the browser test's; Debian's package where there is none
	command -v chromium >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq chromium; }

.PHONY: redis-server nginx
redis-server:  # the cache tests' and the benchmarks', on ports of their own; Debian's package where there is none
	command -v redis-server >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq redis-server; }

nginx:  # the gateway tests', likewise
	PATH=$$PATH:/usr/sbin command -v nginx >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq nginx-light; }

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

clean:  ## the environments and caches; the demo's database, with its annotations, stays
	rm -rf $(VENV) $(ULTRALYTICS) .label-studio/venv runs dist .pytest_cache .mypy_cache .ruff_cache
