"""`python -m bovw` is `bovw`."""

from .cli.app import main

if __name__ == "__main__":
    main()
