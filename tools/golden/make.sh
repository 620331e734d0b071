#!/bin/sh
# Makes data/python again: all that Python computed for the tests.
# Usage: make.sh PYTHON PYTHON_ADAPTERS (each with its requirements installed; see README.md)
set -eu
python=$(command -v "$1") python_adapters=$(command -v "$2")
cd "$(dirname "$0")"
rm -rf data/python
"$python" make.py
"$python" make_gpt2.py
"$python" make_families.py
"$python" make_sums.py
"$python" make_arrow.py
"$python" make_xlora.py
"$python" make_starts.py
"$python" make_masks.py
"$python" make_steps.py
"$python" make_laplace.py
"$python" make_auto_lora.py
"$python" own_methods.py
"$python" own_prompts.py
"$python" own_vision.py
"$python_adapters" make_adapters.py
"$python_adapters" make_hub_families.py make
