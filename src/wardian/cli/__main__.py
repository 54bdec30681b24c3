"""`python -m wardian.cli`: the same as `wardian`, with the interpreter's own flags at hand (-X importtime)."""

import sys

from wardian.cli import main

if __name__ == "__main__":
    sys.exit(main())
