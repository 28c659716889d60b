# make test     everything: tests on each Python and Django, Django's own tests, lint, docs
# make demo     the demonstration in a terminal          make serve   the demo site
# make stress   the races with their full rounds         make bench   measurements against others
# make lint     ruff and mypy alone                      make clean   remove what these made
# make servers-matrix  the tests on servers of other releases (as root, on Debian; long)
#   ROWS=PATTERN       those rows alone whose names match, as ROWS='^Redis 8'
# make messages the strings to translate, and the translations compiled (docs/translations.md)

SHELL := /bin/bash
PYTHON ?= python3
SERVERS := $(PYTHON) tests/servers.py
TOX := .venv/bin/tox run $(if $(filter true,$(CI)),--skip-missing-interpreters false)

# tox looks for interpreters on PATH, where pyenv has but one of its own. The others are beside the
# one that is $(PYTHON), or in PYENV_ROOT. They come last: python3 stays what it was.
PYENV_ROOT ?= $(HOME)/.pyenv
BESIDE := $(shell $(PYTHON) -c 'import os, sys; print(os.path.dirname(sys.base_prefix))')
EMPTY :=
SPACE := $(EMPTY) $(EMPTY)
INTERPRETERS := $(sort $(wildcard $(BESIDE)/3.1[1-9]*/bin $(PYENV_ROOT)/versions/3.1[1-9]*/bin))
export PATH := $(PATH)$(subst $(SPACE),,$(addprefix :,$(INTERPRETERS)))
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: test demo serve stress bench lint messages servers-matrix clean

test: .venv/tox
	$(SERVERS) run -- $(TOX)

stress: .venv/tox
	MULTISTORE_ROUNDS=$${MULTISTORE_ROUNDS:-20000} $(SERVERS) run -- $(TOX) -e stress

lint: .venv/tox
	$(TOX) -e qa

demo: .venv/demo
	.venv/bin/python -m testproject.demo

serve: .venv/demo
	.venv/bin/python -m testproject.serve

bench: .venv-bench/ready
	$(SERVERS) run -- .venv-bench/bin/python -m bench

servers-matrix: .venv-matrix/ready
	.venv-matrix/bin/python -m tests.matrix fetch
	.venv-matrix/bin/python -m tests.matrix run --only '$(ROWS)'

# makemessages puts the time of each run into the header.
messages: CATALOGUES := django_multistore/locale/*/LC_MESSAGES/django.po
messages: .venv/demo
	cd django_multistore && ../.venv/bin/django-admin makemessages --all --no-obsolete --no-wrap \
		--add-location file
	sed -i.old '/^"POT-Creation-Date:/d; /^"Report-Msgid-Bugs-To:/d' $(CATALOGUES)
	rm $(addsuffix .old,$(CATALOGUES))
	cd django_multistore && ../.venv/bin/django-admin compilemessages

# What was installed, as files: a second run is quick, and a change of setup.cfg installs again.

.venv/tox: tests/servers.py
	$(SERVERS) install
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet 'tox>=4.20'
	touch $@

.venv/demo: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --editable '.[progress,devices]'
	touch $@

.venv-bench/ready: Makefile setup.cfg pyproject.toml
	$(SERVERS) install wrk
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --editable '.[test]' django-qsessions hiredis \
		'psycopg[pool]' 'uvicorn[standard]'
	.venv-bench/bin/python tests/servers.py driver
	touch $@

.venv-matrix/ready: Makefile setup.cfg pyproject.toml
	$(SERVERS) install mmdebstrap
	$(PYTHON) -m venv .venv-matrix
	.venv-matrix/bin/pip install --quiet --editable '.[test]' mysql-connector-python
	.venv-matrix/bin/python tests/servers.py driver
	touch $@

clean:
	rm -rf .venv .venv-bench .venv-matrix .tox build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache docs/_build testproject.sqlite3*
