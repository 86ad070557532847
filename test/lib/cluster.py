"""Nodes under test: `ww start` and what its log says, `ww ls` and what it prints."""
import json
import re
import subprocess
import time

from harness import Daemon, _die_with_parent, wait_for


def here(command):
    """The place to run a command in: this namespace. Netns.inside gives others."""
    return command


class Node(Daemon):
    """A running `ww start --json`."""

    def __init__(self, ww, *options, place=here, env=None):
        super().__init__(place([ww, "start", "--json", *options]), ready='{"time"', timeout=10, env=env)
        self.ww, self.place = ww, place

    def __enter__(self):
        super().__enter__()
        wait_for(lambda: self.events("node.address"), 5, "an address in the node's log")
        self.server = self.events("node.started")[0]["server"]
        self.peer = self.events("node.started")[0]["peer"]
        return self

    def events(self, name=None, since=0):
        """Of that name (or all), after the first `since` lines of the log."""
        found = [json.loads(line) for line in self.lines[since:] if line.startswith("{")]
        return [e for e in found if name in (None, e["event"])]

    def address_in(self, subnet):
        """The TCP address that begins with the subnet's digits, with the peer id."""
        for event in self.events("node.address"):
            if event["addr"].startswith(f"/ip4/{subnet}") and "/tcp/" in event["addr"]:
                return f"{event['addr']}/p2p/{self.peer}"
        raise RuntimeError(f"no address in {subnet}: {self.events('node.address')}")

    def members(self):
        """The servers in its table, by its log, which does not name itself."""
        servers = {self.server}
        for event in self.events():
            if event["event"] == "cluster.join":
                servers.add(event["server"])
            elif event["event"] == "cluster.leave":
                servers.discard(event["server"])
        return servers


def all_see(nodes, timeout, expected=None, what=None):
    """Waits until each of the nodes has exactly the expected servers (default: their own); the seconds it took."""
    want = {n.server for n in (expected if expected is not None else nodes)}
    try:
        return wait_for(lambda: all(n.members() == want for n in nodes), timeout, what or "all nodes see the same")
    except RuntimeError as late:
        lacking = [f"{n.server}: {len(n.members())} of {len(want)}" for n in nodes if n.members() != want]
        raise RuntimeError(f"{late}\n" + "\n".join(lacking)) from None


def ls(ww, *args, place=here, timeout=15, env=None):
    """The server ids that `ww ls` prints into a pipe."""
    command = place([ww, "ls", *args])
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout + 5, env=env, preexec_fn=_die_with_parent)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return re.findall(r"^/([0-9a-f]{16})$", done.stdout, re.M)


def hold(seconds, test, what):
    """`test()` must stay true for that long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not test():
            raise RuntimeError(f"no longer so, {end - time.monotonic():.1f} s before the end: {what}")
        time.sleep(0.2)
