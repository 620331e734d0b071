"""Makes adapters by the adapters library on the models that make.py made, and what it computes with them, in data/python.

Usage: python make_adapters.py [NAME ...], where a name is gpt2-houlsby; all without one.
"""

import sys

from adapters_blocks import make_blocks
from adapters_methods import make_adapters_methods
from common import OUT, write_json
from versions import versions


def main(names: list[str]) -> None:
    make_adapters_methods(names)
    make_blocks(names)
    write_json(OUT / "versions-adapters.json", versions("adapters"))


if __name__ == "__main__":
    main(sys.argv[1:])
