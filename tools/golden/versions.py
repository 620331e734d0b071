"""The versions that a golden was made with."""

import platform
from importlib.metadata import version

PACKAGES = ("torch", "transformers", "safetensors", "tokenizers", "numpy")


def versions(library: str) -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in (*PACKAGES, library)}}
