"""A badly behaved agent; its argument says how."""

import os
import pathlib
import shutil
import subprocess
import sys
import time

RIGHT = "def pad(text, width):\n    return text.ljust(width)\n"


def hang():
    if os.fork() == 0:
        os.setsid()
        while True:
            time.sleep(60)
    while True:
        time.sleep(60)


def fork():
    for _ in range(200):
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
    pathlib.Path("wide.py").write_text(RIGHT)


def outside():
    for place in ("/usr/bin/owned", "/etc/passwd", "/checkout/../owned", sys.argv[2]):
        try:
            pathlib.Path(place).write_text("owned")
        except OSError as error:
            print(place, error)
    pathlib.Path("wide.py").write_text(RIGHT)


def history():
    pathlib.Path("wide.py").write_text(RIGHT)
    subprocess.run(["git", "checkout", "-q", "--orphan", "other"], check=True)
    subprocess.run(["git", "commit", "-qam", "there was nothing before"], check=True)
    pathlib.Path(".git/hooks").mkdir(exist_ok=True)
    hook = pathlib.Path(".git/hooks/pre-commit")
    hook.write_text("#!/bin/sh\ntouch /tmp/owned\n")
    hook.chmod(0o755)
    pathlib.Path(".git/config").write_text("[core]\n\tfsmonitor = touch owned\n")


def link():
    pathlib.Path("wide.py").write_text(RIGHT)
    shutil.rmtree(".git")
    os.symlink(sys.argv[2], ".git")


def tests():
    pathlib.Path("test_wide.py").unlink()


def nested():
    pathlib.Path("wide.py").write_text(RIGHT)
    subprocess.run(["git", "init", "-q", "inner"], check=True)
    subprocess.run(["git", "-C", "inner", "commit", "-qm", "x", "--allow-empty"], check=True)


def nothing():
    print("All done, 12 of 12 tests pass.")
    sys.exit(3)


def crash():
    pathlib.Path("wide.py").write_text(RIGHT)
    sys.exit(7)


def secrets():
    print(dict(os.environ))
    pathlib.Path("wide.py").write_text(RIGHT)


globals()[sys.argv[1]]()
