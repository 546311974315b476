# Two commands: `make book` builds the book, `make test` runs every check. Both make the environment they need.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
HTML := _build/html

.PHONY: book test env build notebooks results address clean

book: env build
	@echo "The book is ready: open $(CURDIR)/$(HTML)/index.html in a browser."

test: env build
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

# -W: warnings are errors; -n: so are broken references. A failing notebook is both.
build: env
	$(BIN)/jupyter-book build . --toc book/_toc.yml -W -n --keep-going

env: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[book,test]"
	@touch $@

# Run the notebooks anew and store their outputs, as they are committed.
notebooks: env
	$(BIN)/python notebooks/execute.py notebooks/*.ipynb

# Take the tables of finished runs (RUNS=folder) into the package, with their provenance.
RUNS ?= runs
results:
	cd $(RUNS) && find . \( -name '*-desk.csv' -o -name '*-desk.json' -o -name '*-desk.npz' -o -name '*-paper.csv' -o -name '*-paper.json' \) \
	  -exec cp --parents {} $(CURDIR)/tutorial_lib/results/ \;

# Write the project's public address everywhere: make address URL=https://github.com/OWNER/REPO; without URL, the present one.
URL :=
address:
	$(PYTHON) book/address.py $(if $(URL),'$(URL)')

clean:
	rm -rf _build $(VENV)
