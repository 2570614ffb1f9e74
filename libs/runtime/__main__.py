"""`python -m libs.runtime services.gate.app` runs the service that the module names, in the manner of uvicorn.

`--zygote` instead of a module is the process that services are forked from; see `libs/runtime/zygote.py`.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys

import uvloop

from libs.runtime.config import ConfigError, read
from libs.runtime.runner import Runner
from libs.runtime.zygote import FLAG, serve
from libs.telemetry.log import configure

#: Objects that are left over until the youngest are searched for circles, and searches until the older ones are, too.
COLLECT = (20_000, 20, 20)


def main() -> int:
    """Run one service process."""
    if sys.argv[1:2] == [FLAG] and not serve(sys.argv[2:]):
        return 0
    if len(sys.argv) != 2:
        print(
            "usage: python -m libs.runtime MODULE   (a module with a value named `service`)", file=sys.stderr
        )
        return 2
    try:
        config = read(os.environ)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    configure(
        config.service, (config.api_token, config.scrape_token, config.session_key, config.nats_password)
    )
    service = importlib.import_module(sys.argv[1]).service
    # Hardly anything that events leave behind is in a circle; at Python's own thresholds the search takes a twentieth of
    # the dashboard's time. What was loaded until now stays.
    gc.freeze()
    gc.set_threshold(*COLLECT)
    try:
        return uvloop.run(Runner(service, config).run())
    except ConfigError as error:
        # A setting that only this service looks behind, for example the file of a secret.
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
