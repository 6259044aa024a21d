"""The command ``fastlstm``, which needs the extra ``cli``."""

import sys


def main() -> None:
    """Run the command line, or say what to install."""
    try:
        from fastlstm.demo.cli import app
    except ModuleNotFoundError as error:
        sys.exit(f"fastlstm: {error}. The command needs the extra 'cli': pip install 'fastlstm[cli]'")
    try:
        app()
    except OSError as error:  # a file that cannot be written
        sys.exit(f"fastlstm: {error}")


if __name__ == "__main__":
    main()
