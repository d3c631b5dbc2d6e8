"""`python -m lorimer`: the `lorimer` command where its folder is not on the PATH."""

from lorimer.cli import main

if __name__ == "__main__":
    main()
