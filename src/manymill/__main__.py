"""``python -m manymill``: the command line."""

from manymill.cli import main

if __name__ == "__main__":
    main()
