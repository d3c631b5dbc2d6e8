# Every target does its own set-up. `make demo` needs no key and no Docker; `make test` uses a Docker Engine, PostgreSQL and a Chromium
# where there are any, and on Debian as root installs them, saying so; where there is npm it takes axe-core from there.
bin := .venv/bin
# Compiled modules are kept where a machine's settings say otherwise too: tests start lorimer hundreds of times.
unexport PYTHONDONTWRITEBYTECODE
# Each worker begins with files of its own, and takes of the other's at the end: what the tests of a file share is made once.
pytest := $(bin)/pytest -n 2 --dist worksteal

.PHONY: demo test test-hostile lint bench lock

demo: .venv/installed
	$(bin)/lorimer demo

test: .venv/installed lint
	@tools/docker-engine && tools/base-images || echo "make test: the Docker tests will be skipped"
	@tools/postgresql || echo "make test: the tests of a store on PostgreSQL will be skipped"
	@tools/chromium || echo "make test: the browser tests of the dashboard will be skipped"
	@tools/axe || echo "make test: the test of the dashboard with axe-core will be skipped"
	$(pytest)

# The long suites on hostile harnesses, cheating agents and crashes, and winners within other programs, which the package index has.
test-hostile: .venv/installed
	@tools/docker-engine && tools/base-images || echo "make test-hostile: the Docker tests will be skipped"
	$(pytest) -m hostile

lint: .venv/installed
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy

bench: .venv/installed
	$(bin)/python -m bench

# Needs uv (`pip install uv`). One lock file for all supported Pythons and platforms.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command 'make lock' --group dev pyproject.toml -o requirements.lock

.venv/installed: requirements.lock pyproject.toml tools/venv
	tools/venv
