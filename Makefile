# Two commands on a fresh machine: `make nixl` and `make test`. Both set up what they need first.
PYTHON ?= python3
VENV := .venv
ORCH := $(VENV)/bin/orch
STAMP := $(VENV)/.installed
# What the tests of networks, registries, completions and the manual page run, and its packages
TOOLS := ip:iproute2 skopeo:skopeo umoci:umoci docker-registry:docker-registry zsh:zsh fish:fish mandoc:mandoc dot:graphviz

.PHONY: nixl test test-long lint setup system clean

nixl: setup system
	$(ORCH) build nixl

test: setup
	sh scripts/system-packages.sh $(TOOLS)
	$(VENV)/bin/python -m pytest $(ARGS)

test-long: setup system
	sh scripts/system-packages.sh $(TOOLS) dockerd:docker.io
	$(VENV)/bin/python -m pytest -m long $(ARGS)

setup: $(STAMP)

$(STAMP): pyproject.toml scripts/setup-venv.py
	$(PYTHON) scripts/setup-venv.py $(VENV)
	touch $(STAMP)

system:
	sh scripts/system-packages.sh

clean:
	rm -rf $(VENV) build *.egg-info
