#!/usr/bin/env python3
"""Our nodes in one cluster with nodes made of go-libp2p, go-libp2p-pubsub and go-capnp (test/interop/go): they list each other,
query each other, keep each other, and notice who goes.

usage: cluster.py WW SCRATCH   (TAP on stdout). Without a Go toolchain everything is skipped, loudly."""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from cluster import Node, ls  # noqa: E402
from crowd import Crowd  # noqa: E402
from harness import Daemon, Tap, build_go, run, wait_for  # noqa: E402

TTL = 4
STEADY = 60
ENV = {k: v for k, v in os.environ.items() if not k.startswith("WW_")}


class GoNode(Daemon):
    def __init__(self, gopeer, ns, *options):
        super().__init__([gopeer, "node", "--ns", ns, "--ttl", f"{TTL}s", *options], ready="LISTEN")

    def __enter__(self):
        super().__enter__()
        self.server = self.expect(lambda line: line.startswith("READY")).split()[1]
        self.peer = self.address.rsplit("/", 1)[1]
        return self

    def members(self):
        servers = set()
        for line in list(self.lines):
            word, *rest = line.split()
            if word == "JOIN":
                servers.add(rest[0])
            elif word == "LEAVE":
                servers.discard(rest[0])
        return servers

    def leaves(self):
        return [line for line in self.lines if line.startswith("LEAVE")]


def go_ls(gopeer, ns, address, *options, timeout=30):
    """(server, host) pairs, in the order received."""
    out = run([gopeer, "ls", "--ns", ns, "--peer", address, *options], timeout=timeout)
    return [tuple(line[1:].split(" ", 1)) for line in out.splitlines()]


def resident_kib(pid):
    return int(re.search(r"^VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1])


def together(ww, gopeer, check):
    ns = f"interop-{os.getpid()}"
    here = ["--ns", ns, "-l", "/ip4/127.0.0.1/tcp/0", "--ttl", f"{TTL}s"]
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(GoNode(gopeer, ns, "--meta", "zone=go-1", "--meta", "role=db"))
        ours = stack.enter_context(Node(ww, *here, "--meta", "zone=c-1", "--meta", "role=web", "-p", first.address, env=ENV))
        address = ours.address_in("127.")
        second = stack.enter_context(GoNode(gopeer, ns, "--meta", "zone=go-2", "--peer", address))
        nodes = [first, ours, second]
        everyone = {n.server for n in nodes}
        check("two Go nodes and ours list each other, by -p one way and by their dial the other",
              lambda: wait_for(lambda: all(n.members() == everyone for n in nodes), 15, [sorted(n.members()) for n in nodes]))
        steady_since, went = time.monotonic(), [len(first.leaves()), len(second.leaves())]

        asked = ["--ns", ns, "--peer"]
        host = os.uname().nodename

        def ours_asks(node):
            assert set(ls(ww, *asked, node.address)) == everyone
            assert set(ls(ww, *asked, node.address, "WHERE", "zone=go")) == {first.server, second.server}
            assert ls(ww, *asked, node.address, "WHERE", "zone==c-1") == [ours.server]
            # The Go server matches by prefix whatever it is told; the exact match is ours to make.
            assert ls(ww, *asked, node.address, "WHERE", "zone==go") == []
            assert set(ls(ww, *asked, node.address, "WHERE", f"host=={host}")) == everyone
            assert ls(ww, *asked, node.address, "WHERE", "zone=go AND NOT role=db") == [second.server]
            assert len(ls(ww, *asked, node.address, "--limit", "2")) == 2
            assert ls(ww, *asked, node.address, "WHERE", f"peer=={second.peer}") == [second.server]
            by_peer = [n.server for n in sorted(nodes, key=lambda n: n.peer)]
            assert ls(ww, *asked, node.address, "--order", "id", "--reverse") == by_peer[::-1]
            records = [json.loads(line) for line in run([ww, "ls", *asked, node.address, "--json"], env=ENV).splitlines()]
            metas = {r["server"]: r["meta"] for r in records}
            assert metas[first.server] == {"zone": "go-1", "role": "db"} and metas[second.server] == {"zone": "go-2"}, metas
        check("ww ls asks a Go node that dialed us", lambda: ours_asks(second))
        check("ww ls asks the Go node that we dialed", lambda: ours_asks(first))

        def go_asks(*framing):
            assert {s for s, _ in go_ls(gopeer, ns, address, *framing)} == everyone
            assert [s for s, _ in go_ls(gopeer, ns, address, *framing)] == \
                [n.server for n in sorted(nodes, key=lambda n: n.peer)]
            assert go_ls(gopeer, ns, address, *framing, "--match", f"host={host}")
            assert {s for s, _ in go_ls(gopeer, ns, address, *framing, "--match", f"host={host}")} == everyone
            assert go_ls(gopeer, ns, address, *framing, "--match", "host=nobody") == []
            assert [s for s, _ in go_ls(gopeer, ns, address, *framing, "--match", "zone=c-1")] == [ours.server]
            assert [s for s, _ in go_ls(gopeer, ns, address, *framing, "--match", f"peer={second.peer}")] == [second.server]
        check("a Go client asks our node, packed", go_asks)
        check("a Go client asks our node, plain", lambda: go_asks("--plain"))

        def watch():
            with Daemon([ww, "ls", *asked, address, "--watch"], ready=None, env=ENV) as standing:
                wait_for(lambda: len(standing.lines) == 3, 5, standing.lines)
                with GoNode(gopeer, ns, "--peer", address) as late:
                    wait_for(lambda: any("+" in line and late.server in line for line in standing.lines), 5, "it joined")
                    late.kill()
                    wait_for(lambda: any("-" in line and late.server in line for line in standing.lines), TTL + 2, "it went")
        check("--watch on our node tells of a Go node's joining and being killed", watch)

        def steady():
            time.sleep(max(0.0, STEADY - (time.monotonic() - steady_since)))
            for node, before in zip((first, second), went):
                # The one that was killed above is allowed to go.
                assert not [line for line in node.leaves()[before:] if any(s in line for s in everyone)], node.leaves()
            assert not [e for e in ours.events("cluster.leave") if e["server"] in everyone], ours.events("cluster.leave")
        check(f"{STEADY} s of heartbeats with a TTL of {TTL} s flap nobody", steady)

        def farewell():
            assert ours.stop() == 0
            # Go looks at deadlines every 200 ms; the farewell's is 1 ms.
            wait_for(lambda: all(ours.server not in n.members() for n in (first, second)), 1.5, "both dropped it")
        check("our farewell is understood by Go nodes", farewell)


def crash(ww, gopeer, check):
    ns = f"interop-crash-{os.getpid()}"
    with Node(ww, "--ns", ns, "-l", "/ip4/127.0.0.1/tcp/0", "--ttl", f"{TTL}s", env=ENV) as ours, \
            GoNode(gopeer, ns, "--peer", ours.address_in("127.")) as theirs:
        both = {ours.server, theirs.server}
        check("a pair", lambda: wait_for(lambda: ours.members() == both == theirs.members(), 10, "they see each other"))

        def killed():
            theirs.stop(signal.SIGKILL)
            took = wait_for(lambda: ours.members() == {ours.server}, TTL + 1, "ours forgets a killed Go node")
            assert took < TTL + 1
        check("a killed Go node is forgotten within its TTL + 1 s", killed)


def crowded(ww, gopeer, check, count=2000):
    """A table of thousands of records, made by signed heartbeats of as many identities, and readers of every speed."""
    ns = f"interop-crowd-{os.getpid()}"
    with Node(ww, "--ns", ns, "-l", "/ip4/127.0.0.1/tcp/0", env=ENV) as ours:
        address = ours.address_in("127.")
        port = int(re.search(r"/tcp/(\d+)/", address)[1])
        asked = ["--ns", ns, "--peer", address]
        padding = b"note=" + b"n" * 700

        def total():
            return int(run([ww, "ls", *asked, "--count"], env=ENV))
        with Crowd("127.0.0.1", port, ns, count, 120_000, lambda i: [b"shard=%02d" % (i % 100), padding]):
            if not check(f"{count} signed heartbeats of a hand-made gossip peer fill our table",
                         lambda: wait_for(lambda: total() == count + 1, 30, total())):
                return
            check("ww ls lists them, and 1 % of them by a query", lambda: (
                len(set(ls(ww, *asked))) == count + 1 or (_ for _ in ()).throw(AssertionError("list")),
                len(ls(ww, *asked, "WHERE", "shard==07")) == count // 100 or (_ for _ in ()).throw(AssertionError("query"))))

            def fast():
                for framing in ([], ["--plain"]):
                    said = json.loads(run([gopeer, "ls", "--ns", ns, "--peer", address, "--quiet", *framing], timeout=60))
                    assert said["records"] == count + 1, said
            check("a Go client takes all of them", fast)

            def slow():
                before = resident_kib(ours.process.pid)
                command = [gopeer, "ls", "--ns", ns, "--peer", address, "--quiet", "--delay", "2ms"]
                with contextlib.ExitStack() as stack:
                    readers = [stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
                               for _ in range(4)]
                    time.sleep(1.5)
                    assert all(r.poll() is None for r in readers), "the readers are done already: not slow"
                    grown = resident_kib(ours.process.pid) - before
                    began = time.monotonic()
                    assert total() == count + 1
                    quick = time.monotonic() - began
                    counts = [json.loads(r.communicate(timeout=60)[0])["records"] for r in readers]
                assert counts == [count + 1] * 4, counts
                # The four answers together are 6 MB and more: they must wait at the source.
                assert grown < 3000, f"grew by {grown} KiB"
                assert quick < 1, f"others wait {quick} s"
            check("slow Go clients get all of them, hold up nobody, and make our node store nothing", slow)


def main(ww, scratch):
    tap = Tap()
    gopeer = build_go(scratch)
    if not gopeer:
        tap.skip("clusters with Go nodes", "no Go toolchain of 1.21 or newer and capnproto")
        return tap.end()
    tap.together(together=lambda check: together(ww, gopeer, check), crash=lambda check: crash(ww, gopeer, check),
                 crowd=lambda check: crowded(ww, gopeer, check))
    return tap.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], pathlib.Path(sys.argv[2])))
