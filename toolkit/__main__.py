"""The `barescan` command, also `python -m toolkit`."""

from toolkit import interrupt


def main() -> None:
    """Run the command line; nothing that takes time is imported before Ctrl-C has its meaning."""
    interrupt.install()
    from toolkit.cli import program  # noqa: PLC0415

    program.run()


if __name__ == "__main__":
    main()
