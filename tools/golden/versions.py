"""The versions that a golden was made with."""

import platform
from importlib.metadata import version

PACKAGES = ("torch", "transformers", "peft", "safetensors", "tokenizers", "numpy")


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
