"""Makes adapters by the adapters library on the models that make.py made, and what it computes with them, in data/python.

Usage: python make_adapters.py
"""

from adapters_methods import make_adapters_methods
from common import OUT, write_json
from versions import versions


def main() -> None:
    make_adapters_methods()
    write_json(OUT / "versions-adapters.json", versions("adapters"))


if __name__ == "__main__":
    main()
