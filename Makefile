# Two commands on a fresh machine: `make nixl` and `make test`. Both set up what they need first.
PYTHON ?= python3
VENV := .venv
ORCH := $(VENV)/bin/orch
STAMP := $(VENV)/.installed

.PHONY: nixl test test-long lint setup system clean

nixl: setup system
	$(ORCH) build nixl

test: setup
	sh scripts/system-packages.sh ip:iproute2
	$(VENV)/bin/python -m pytest $(ARGS)

test-long: setup system
	$(VENV)/bin/python -m pytest -m long $(ARGS)

setup: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) scripts/setup-venv.py $(VENV)
	touch $(STAMP)

system:
	sh scripts/system-packages.sh

clean:
	rm -rf $(VENV) build *.egg-info
