"""Command line as ``python -m manymill``."""

from manymill.cli import main

if __name__ == "__main__":
    main()
