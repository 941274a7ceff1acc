"""Launcher of a checkout: `python cli.py ...` is `bovw ...`."""

from bovw.cli.app import main

if __name__ == "__main__":
    main()
