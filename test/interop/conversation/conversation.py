#!/usr/bin/env python3
"""Our RPC opposite the C++ and the Go implementation: one list of conversations, every pairing, both roles, over unix and TCP
sockets, with a recorder between the two which says what went over the wire.

usage: conversation.py OURS CXX SCRATCH [PAIRING[/CASE,CASE]...]   (TAP on stdout; CXX "" when it could not be built)
A pairing is such as "ww>cxx:unix": who is client, who is server, and how. A missing toolchain skips its pairings, loudly."""
import asyncio
import os
import pathlib
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import Tap, Daemon, build_conversation_go  # noqa: E402
from recorder import Recorder, matches  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
CASES = HERE / "cases.txt"
DOC = HERE.parents[2] / "doc/capnp/conversation.md"


class Case:
    def __init__(self, name, shows, group):
        self.name, self.shows, self.group = name, shows, group
        self.slow, self.wire, self.before, self.skips = [], [], [], {}


def read_cases():
    cases, group = [], ""
    for line in CASES.read_text().splitlines():
        words = line.split()
        if line.startswith("= "):
            group = line[2:]
        elif line.startswith("case "):
            name, shows = line[5:].split(" : ", 1)
            cases.append(Case(name, shows, group))
        elif not words:
            continue
        elif words[0] == "slow":
            cases[-1].slow.append((words[1], words[2], int(words[3])))
        elif words[0] == "wire":
            cases[-1].wire.append((words[1], words[2], int(words[3])))
        elif words[0] == "before":
            cases[-1].before.append((words[1], words[2], int(words[3]), words[4], words[5], int(words[6])))
        elif words[0] == "not":
            cases[-1].skips[words[1]] = " ".join(words[2:])
    return cases


def transcript(log):
    """What went over the wire, shortened in the middle."""
    rows = [f"  {way} {kind} {number}" for way, kind, number in log]
    return "\n".join(rows if len(rows) <= 40 else rows[:30] + ["  ..."] + rows[-8:])


def check_wire(case, log):
    said = transcript(log)
    for way, kind, count in case.wire:
        have = sum(1 for w, k, _ in log if w == way and matches(kind, k))
        assert have == count, f"{have} times {way} {kind} instead of {count}:\n{said}"
    for way, kind, count, late_way, late_kind, late_count in case.before:
        first = [i for i, (w, k, _) in enumerate(log) if w == way and matches(kind, k)][count - 1]
        second = [i for i, (w, k, _) in enumerate(log) if w == late_way and matches(late_kind, k)][late_count - 1]
        assert first < second, f"{way} {kind} did not come before {late_way} {late_kind}:\n{said}"


class Loop:
    """The recorder's event loop, on a thread of its own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, what):
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(30)


def pairing(tap, loop, scratch, cases, peers, spec):
    spec, _, only = spec.partition("/")
    pair, way = spec.split(":")
    client, server = pair.split(">")
    packed = way == "packed"
    transport = "tcp" if way == "tcp" else "unix"
    title = f"{client} to {server} ({'packed' if packed else way})"
    wanted = []
    for case in cases:
        if only and case.name not in only.split(","):
            continue
        if not (case.skips.get(client + ".client") or case.skips.get(server + ".server")):
            wanted.append(case)

    def address(name):
        return "tcp:0" if transport == "tcp" else f"unix:{scratch}/{name}"
    # Go does not complete calls whose results it is to keep, so our side must not make them there.
    options = {name: ["--packed"] * packed + ["--tail-calls"] * (name == "ww" and "go" not in (client, server))
               for name in (client, server)}
    tag = spec.replace(">", "-").replace(":", "-")
    try:
        with Daemon(peers[server] + ["server", address(tag + ".s")] + options[server]) as daemon:
            recorder = Recorder(daemon.address, packed)
            recorder.plans = [case.slow for case in wanted]
            front = loop.run(recorder.listen(address(tag + ".r")))
            names = [case.name for case in wanted]
            with Daemon(peers[client] + ["client", front, str(CASES)] + options[client] + names, ready=None) as run:
                for i, case in enumerate(wanted):
                    def body(i=i, case=case):
                        line = run.expect(lambda text: text.startswith(("ok ", "not ok ")), 30)
                        log = recorder.logs[i] if i < len(recorder.logs) else []
                        assert line == f"ok {case.name}", "\n".join(
                            [transcript(log)] + daemon.errors[-5:] + run.errors[-5:] + [line])
                        if not packed:
                            check_wire(case, log)
                    tap.check(f"{title}: {case.name}", body)
            if daemon.process.poll() is not None:
                raise RuntimeError("the server ended: " + "\n".join(
                    [e for e in daemon.errors if "panic" in e or "fatal" in e][:5] + daemon.errors[-20:]))
    except (RuntimeError, AssertionError) as failure:
        def fail(failure=failure):
            raise failure
        tap.check(f"{title}: goes through", fail)


def check_doc(cases):
    """The table of the documentation has these cases, with these words, and says who is left out of which."""
    text = DOC.read_text()
    for case in cases:
        row = f"| `{case.name}` | {case.shows} |"
        assert row in text, "not in the table: " + row
    rows = sum(1 for line in text.splitlines() if line.startswith("| `") and line.count("|") >= 3)
    assert rows >= len(cases), rows
    for case in cases:
        for who, why in case.skips.items():
            assert why in text, f"the reason why {case.name} is left out for {who} is missing: {why}"


ALL = ["ww>ww:unix", "ww>ww:packed", "ww>cxx:unix", "ww>cxx:tcp", "cxx>ww:unix", "cxx>ww:tcp",
       "ww>go:unix", "ww>go:tcp", "ww>go:packed", "go>ww:unix", "go>ww:tcp", "go>ww:packed"]


def main(ours, cxx, scratch, only):
    tap = Tap()
    cases = read_cases()
    peers = {"ww": [ours], "cxx": [cxx] if cxx else None}
    if not only or any("go" in spec for spec in only):
        go = build_conversation_go(scratch)
        peers["go"] = [go] if go else None
    loop = Loop()
    with tempfile.TemporaryDirectory(prefix="ww-conv-") as sockets:
        def one(spec):
            client, server = spec.split(":")[0].split(">")
            missing = [name for name in (client, server) if not peers.get(name)]
            if not missing:
                pairing(tap, loop, sockets, cases, peers, spec)
            for case in cases if missing else []:
                tap.skip(f"{spec}: {case.name}", f"no toolchain for the {missing[0]} peer")
        # They wait more than they work: for what is slow on purpose, and for go-capnp, which sleeps now and then.
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(one, only or ALL))
    if not only:
        tap.check("the documentation has every case", lambda: check_doc(cases))
    return tap.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
