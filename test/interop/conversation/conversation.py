#!/usr/bin/env python3
"""Our RPC opposite the C++, the Rust, the Python and the Go implementation: one list of conversations, every pairing, both roles, over unix and TCP
sockets, with a recorder between the two which says what went over the wire.

usage: conversation.py OURS CXX SCRATCH [PAIRING[/CASE,CASE]...]   (TAP on stdout; CXX "" when it could not be built)
A pairing is such as "ww>cxx:unix": who is client, who is server, and how. A missing toolchain skips its pairings, loudly."""
import asyncio
import fnmatch
import pathlib
import re
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import Tap, Daemon, build_conversation_go, build_conversation_rust, install_conversation_python  # noqa: E402
from recorder import Recorder, matches  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
CASES = HERE / "cases.txt"
DOC = HERE.parents[2] / "doc/capnp/conversation.md"


class Case:
    def __init__(self, name, shows, group):
        self.name, self.shows, self.group = name, shows, group
        self.slow, self.hold, self.wire, self.before, self.skips, self.inline = [], [], [], [], {}, False


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
        elif words[0] == "hold":
            kind, _, skip = words[2].partition("+")
            cases[-1].hold.append((words[1], kind, int(skip or 0), words[3], words[4], int(words[5])))
        elif words[0] == "inline":
            cases[-1].inline = True
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
        first = [i for i, (w, k, _) in enumerate(log) if w == way and matches(kind, k)]
        second = [i for i, (w, k, _) in enumerate(log) if w == late_way and matches(late_kind, k)]
        assert len(first) >= count and len(second) >= late_count and first[count - 1] < second[late_count - 1], f"{way} {kind} did not come before {late_way} {late_kind}:\n{said}"


class Loop:
    """The recorder's event loop, on a thread of its own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, what):
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(30)


# A process that ends with these words on stderr met a fault of its own library; the case is taken again, with a new process,
# some times. (An AnswerQueue of go-capnp calls a method of what Recv gave it, without looking whether that is nil: a call
# that is pipelined on something which can answer at once, and was queued, ends the process.)
KNOWN_ENDS = {"go": "capnp/v3.(*AnswerQueue).Fulfill("}
TRIES = 3
NO_TAIL_CALLS = {"go", "rust"}
CANCELED_UNANSWERED = {"rust"}  # sends no Return for a call that was cancelled, so that its question stays open
FAILURES_MAX = 5


class Pairing:
    """A client and a server that take one case after the other. When a process ends, the rest gets new ones."""

    def __init__(self, tap, loop, scratch, peers, spec):
        pair, self.way = spec.split(":")
        self.client, self.server = pair.split(">")
        self.tap, self.loop, self.scratch, self.peers = tap, loop, scratch, peers
        self.title = f"{self.client} to {self.server} ({self.way})"
        self.tag, self.started = spec.replace(">", "-").replace(":", "-"), 0
        self.tries, self.failures = {}, 0

    def address(self, name):
        return "tcp:0" if self.way == "tcp" else f"unix:{self.scratch}/{self.tag}.{name}{self.started}"

    def options(self, name):
        # Who does not complete calls whose results it is to keep must not be sent them.
        tail = name == "ww" and not NO_TAIL_CALLS & {self.client, self.server}
        unanswered = name == "ww" and self.server in CANCELED_UNANSWERED
        return (["--packed"] * (self.way == "packed") + ["--tail-calls"] * tail +
                ["--canceled-unanswered"] * unanswered)

    def fails(self, name, why):
        def fail():
            raise AssertionError(why)
        self.failures += 1
        self.tap.check(f"{self.title}: {name}", fail)

    def run(self, cases):
        while cases and self.failures < FAILURES_MAX:
            try:
                cases = self.talk(cases)
            except RuntimeError as failure:
                return self.fails("goes through", str(failure))
        for case in cases:
            self.fails(case.name, "given up after so many failures")

    def talk(self, cases):
        """Runs cases until a process ends; those that are left."""
        self.started += 1
        with Daemon(self.peers[self.server] + ["server", self.address("s")] + self.options(self.server)) as server:
            recorder = Recorder(server.address, self.way == "packed", cases)
            front = self.loop.run(recorder.listen(self.address("r")))
            try:
                with Daemon(self.peers[self.client] + ["client", front, str(CASES)] + self.options(self.client) +
                            [case.name for case in cases], ready=None) as client:
                    for i, case in enumerate(cases):
                        gone, again = self.one(case, i, client, server, recorder)
                        if gone or self.failures == FAILURES_MAX:
                            return cases[i + (not again):]
                    assert server.process.poll() is None, "the server ended:\n" + last_words(server)
            except AssertionError as failure:
                self.fails("goes through", str(failure))
            finally:
                self.loop.run(recorder.close())
        return []

    def one(self, case, i, client, server, recorder):
        """Whether a process ended, and whether that was nothing of the case's."""
        line = None
        try:
            line = client.expect(lambda text: text.startswith(("ok ", "not ok ")), 120)
        except RuntimeError as failure:
            why = str(failure)
        talk = recorder.conversations[i] if i < len(recorder.conversations) else None
        log = talk.log if talk else []
        if line == f"ok {case.name}":
            self.tap.check(f"{self.title}: {case.name}", lambda: self.way == "packed" or check_wire(case, log))
            return False, False
        ended = [(name, peer) for name, peer, dead in ((self.server, server, server.ended()),
                                                       (self.client, client, line is None and client.ended())) if dead]
        why = [transcript(log), line or why] + [f"{name} ended:\n{last_words(peer)}" for name, peer in ended]
        self.tries[case.name] = self.tries.get(case.name, 0) + 1
        if ended and self.tries[case.name] <= TRIES and all(
                any(KNOWN_ENDS.get(name, "\0") in text for text in peer.errors) for name, peer in ended):
            self.tap.say(f"{self.title}: {case.name}: {ended[0][0]} ended by a known fault of its own, once more:\n" +
                         last_words(ended[0][1]))
            return True, True
        if not ended:
            why += server.errors[-5:] + client.errors[-5:]
        self.fails(case.name, "\n".join(why))
        return bool(ended) or line is None, False


def last_words(peer):
    """What a process said before it ended, from its cry on."""
    errors = peer.errors
    cries = [i for i, text in enumerate(errors) if any(word in text for word in ("panic", "fatal", "ERROR", "terminate"))]
    return "\n".join(errors[cries[0]:cries[0] + 20] if cries else errors[-20:]) + f"\n(exit {peer.process.returncode})"


def pairing(tap, loop, scratch, cases, peers, spec):
    spec, _, only = spec.partition("/")
    talk = Pairing(tap, loop, scratch, peers, spec)
    talk.run([case for case in cases if (not only or case.name in only.split(",")) and
              talk.client + ".client" not in case.skips and talk.server + ".server" not in case.skips])


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


def check_references(cases):
    """The cases and the unit tests that the second table names are there."""
    names = {case.name for case in cases}
    rows = DOC.read_text().split("## What the C++ suite tests")[1].splitlines()
    shown = [row.strip("| ").split(" | ")[1] for row in rows if re.match(r"\| \d", row)]
    assert len(shown) >= 30, len(shown)
    for here in shown:
        for case in re.findall(r"`([a-z][a-z*-]*)`", here):
            assert fnmatch.filter(names, case), "no such case: " + case
        for file, tests in re.findall(r"`(rpc/test_\w+\.c)`(?:: ([a-z_, ]+))?", here):
            source = (HERE.parents[1] / "unit" / file).read_text()
            for test in filter(None, tests.strip().split(", ")):
                assert len(re.findall(rf"\b{test}\b", source)) > 1, f"no test {test} in {file}"  # there, and in the list


ALL = ["ww>ww:unix", "ww>ww:packed", "ww>cxx:unix", "ww>cxx:tcp", "cxx>ww:unix", "cxx>ww:tcp",
       "ww>rust:unix", "ww>rust:tcp", "rust>ww:unix", "rust>ww:tcp",
       "ww>py:unix", "ww>py:tcp", "py>ww:unix", "py>ww:tcp",
       "ww>go:unix", "ww>go:tcp", "ww>go:packed", "go>ww:unix", "go>ww:tcp", "go>ww:packed"]


def main(ours, cxx, scratch, only):
    tap = Tap()
    cases = read_cases()
    peers = {"ww": [ours], "cxx": [cxx] if cxx else None}
    if not only or any("go" in spec for spec in only):
        go = build_conversation_go(scratch)
        peers["go"] = [go] if go else None
    if not only or any("rust" in spec for spec in only):
        rust = build_conversation_rust(scratch)
        peers["rust"] = [rust] if rust else None
    if not only or any("py" in spec for spec in only):
        peers["py"] = install_conversation_python(scratch)
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
        tap.check("the documentation names what exists", lambda: check_references(cases))
    return tap.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
