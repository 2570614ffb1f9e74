"""W8 on DBOS: a workflow of eight steps on a queue. Runs in DBOS's own environment.

`python dbos_worker.py DSN RUNS`: says `ready`, then reads lines `NAME COUNT IN_FLIGHT`, runs that many tasks and says
`done`. Every step writes one line of its run to the file RUNS. What an earlier process of the same name has left
unfinished is taken up at the start.
"""

import os
import sys
import time

from dbos import DBOS, SetWorkflowID

STEPS = 8
_RUNS = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


@DBOS.step()
def step(name: str, number: int) -> str:
    """Do nothing, and say so."""
    os.write(_RUNS, f"{name} {number} {time.time()}\n".encode())
    return "done"


@DBOS.workflow()
def task(name: str) -> str:
    """Carry out one task."""
    for number in range(STEPS):
        step(name, number)
    return name


def main() -> None:
    """Serve rounds."""
    DBOS(
        config={
            "name": "w8-bench",
            "application_version": "1",
            "executor_id": "w8-1",
            "system_database_url": sys.argv[1],
            "sys_db_pool_size": 20,
            "log_level": "ERROR",
            "run_admin_server": False,
        }
    )
    DBOS.launch()
    # As shipped it looks once a second.
    queue = DBOS.register_queue("w8", worker_concurrency=100, polling_interval_sec=0.02)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        name, count, _ = line.split()
        handles = []
        for place in range(int(count)):
            # The same name again finds the workflow that there is.
            with SetWorkflowID(f"{name}-{place}"):
                handles.append(queue.enqueue(task, f"{name}-{place}"))
        for handle in handles:
            handle.get_result()
        sys.stdout.write("done\n")
        sys.stdout.flush()


main()
