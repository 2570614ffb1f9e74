"""`python -m tests.simulation --seed N` replays one seed and tells what happened."""

import sys
from tests.simulation.run import run

if __name__ == "__main__":
    result = run(int(sys.argv[1]))
    print("\n".join(result.lines))
    print(result)
