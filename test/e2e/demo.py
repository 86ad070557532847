#!/usr/bin/env python3
"""The demo, as a newcomer runs it: it succeeds, and however it ends no process stays behind.

usage: demo.py BUILD   (TAP on stdout)"""
import os
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from harness import ROOT, Tap, _die_with_parent, wait_for  # noqa: E402


def members(demo):
    """The processes of this demo's cluster."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"WW_NS=demo-{demo}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            pass  # it ended, or is somebody else's
    return found


def start(build):
    return subprocess.Popen([ROOT / "scripts/demo", build], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            preexec_fn=_die_with_parent)


def main(build):
    tap = Tap()

    def whole():
        demo = start(build)
        out, errors = demo.communicate(timeout=60)
        assert demo.returncode == 0, out + errors
        assert out.count("\n  ok  ") >= 9 and "\x1b" not in out, out
        assert members(demo.pid) == [], members(demo.pid)
    tap.check("the demo goes through, without colour in a pipe", whole)

    for sig, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)):
        for command in ("ww start", "ww ls", "--json", "--watch"):
            def stopped():
                demo = start(build)
                # Stop it while the program that it has just announced starts or runs.
                for line in demo.stdout:
                    if "$ " in line and command in line:
                        break
                demo.send_signal(sig)
                demo.communicate(timeout=10)
                assert demo.returncode == code, demo.returncode
                wait_for(lambda: members(demo.pid) == [], 3, "its processes are gone")
            tap.check(f"stopped by {sig.name} at {command} it leaves nobody", stopped)

    def refused():
        done = subprocess.run([ROOT / "scripts/demo", "no-such-build"], capture_output=True, text=True, timeout=10)
        assert done.returncode == 1 and "build it first" in done.stderr, done
    tap.check("without a build it says so", refused)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1])))
