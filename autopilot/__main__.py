"""`python -m autopilot` is `autopilot`."""

from autopilot.cli.main import main

if __name__ == "__main__":
    main()
