#!/usr/bin/env python3
"""The command line as people meet it: what it prints where, exit codes, bad input of every kind, and peers that misbehave.

usage: cli.py WW SCRATCH   (TAP on stdout)"""
import fcntl
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from cluster import Node, all_see, ls  # noqa: E402
from harness import Daemon, Tap, _die_with_parent, wait_for  # noqa: E402
from noise import Dialer, token  # noqa: E402

HERE = ["-l", "/ip4/127.0.0.1/tcp/0"]
ENV = {k: v for k, v in os.environ.items() if not k.startswith("WW_")}


class Cli:
    """One story's own namespace and folder: stories run side by side on one machine, where nodes find each other."""

    def __init__(self, ww, scratch, story):
        self.ww, self.scratch = ww, pathlib.Path(scratch) / story
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(parents=True)
        self.ns = f"cli-{os.getpid()}-{story}"

    def run(self, *args, env=None, timeout=20):
        return subprocess.run([self.ww, *args], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
                              env={**ENV, **(env or {})}, preexec_fn=_die_with_parent)

    def refused(self, code, said, *args, env=None):
        """Must end with this code, print nothing on stdout, and say every one of the words on stderr."""
        done = self.run(*args, env=env)
        assert done.returncode == code, (args, done)
        assert done.stdout == "", (args, done)
        for words in said:
            assert words in done.stderr, (args, words, done.stderr)
        return done.stderr

    def on_terminal(self, *args, columns=110):
        """What it prints on a terminal."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        process = subprocess.Popen([self.ww, *args], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave,
                                   env={**ENV, "TERM": "xterm"}, preexec_fn=_die_with_parent)
        os.close(slave)
        text = b""
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:
                break
            if not part:
                break
            text += part
        os.close(master)
        assert process.wait(10) == 0, text
        return text.decode().replace("\r\n", "\n")

    def start(self, *args):
        return Node(self.ww, "--ns", self.ns, *HERE, *args, env=ENV)


def usage(cli, check):
    def overview():
        done = cli.run()
        assert done.returncode == 2 and done.stdout == "" and "Commands:" in done.stderr, done
        done = cli.run("--help")
        assert done.returncode == 0 and "Commands:" in done.stdout and done.stderr == "", done
    check("without a command: the overview, exit 2; --help: exit 0", overview)
    check("unknown commands and options come with the nearest one", lambda: (
        cli.refused(2, ["unknown command 'strat'", "start"], "strat"),
        cli.refused(2, ["--watsh", "--watch"], "ls", "--watsh")))
    check("an option of another command is refused", lambda: cli.refused(2, ["--limit", "ww start"], "start", "--limit", "3"))
    check("values that are none are refused by name", lambda: (
        cli.refused(2, ["--ttl", "'soon'"], "start", "--ttl", "soon"),
        cli.refused(2, ["--limit", "'many'"], "ls", "--limit", "many"),
        cli.refused(2, ["--ns", "value"], "ls", "--ns"),
        cli.refused(2, ["WW_TTL", "'x'"], "start", env={"WW_TTL": "x"}),
        cli.refused(2, ["--ttl"], "start", "--ttl", "1ms"),
        cli.refused(2, ["--meta", "novalue"], "start", "--meta", "novalue")))
    check("arguments that do not belong are refused", lambda: cli.refused(2, ["'extra'"], "start", "extra"))
    check("a namespace with a slash, or none", lambda: [
        (cli.refused(2, ["a/b", "slash"], command, "--ns", "a/b"), cli.refused(2, ["empty"], command, "--ns", ""))
        for command in ("start", "ls")])
    check("addresses that are none", lambda: (
        cli.refused(2, ["--listen", "nonsense"], "start", "-l", "nonsense"),
        cli.refused(2, ["/p2p/ID", "missing"], "start", "-p", "/ip4/127.0.0.1/tcp/1"),
        cli.refused(2, ["/ip4/127.0.0.1/tcp/4001: unknown"], "ls", "-d", "/ip4/127.0.0.1/tcp/4001"),
        cli.refused(2, ["nonsense"], "peer", "nonsense")))

    def helps():
        names = re.findall(r"^  (\w+)  ", cli.run("help").stdout.split("Try:")[0], re.M)
        assert {"start", "ls", "id", "peer", "version", "help"} <= set(names), names
        for name in names:
            one, other = cli.run("help", name), cli.run(name, "--help")
            assert one.returncode == other.returncode == 0 and one.stdout == other.stdout, name
            assert one.stdout.startswith(f"Usage: ww {name}"), one.stdout
    check("help COMMAND and COMMAND --help say the same, for every command", helps)

    def version():
        text = cli.run("version").stdout
        assert re.fullmatch(r"wetware version \d+\.\d+\.\d+\n", text), text
        assert cli.run("--version").stdout == text
        assert json.loads(cli.run("version", "--json").stdout)["version"] in text
    check("version", version)


def queries(cli, check):
    def points_at(expression, column, *words):
        """The message shows the expression, and below it a caret under the token at `column`."""
        said = cli.refused(2, ["^", *words], "ls", "--ns", cli.ns, "WHERE", expression)
        lines = said.splitlines()
        caret = next(i for i, line in enumerate(lines) if line.strip() and set(line.strip()) <= {"^", "~"})
        shown = lines[caret - 1]
        assert expression in shown, said
        assert lines[caret].index("^") - shown.index(expression) == column, said
    check("a query that breaks off", lambda: points_at("host=web AND", 12))
    check("a query with an operator out of place", lambda: points_at("AND host=web", 4))
    check("a query with a parenthesis too many", lambda: points_at("(host=web) OR role=db)", 21))
    check("a query with one too few", lambda: points_at("(host=web OR role=db", 0))
    check("a query without a comparison", lambda: points_at("host=web AND role", 17))
    check("a range that mixes keys, or is none", lambda: (
        cli.refused(2, ["--from"], "ls", "--ns", cli.ns, "--from", "host"),
        cli.refused(2, ["--from", "--to"], "ls", "--ns", cli.ns, "--from", "host=a", "--to", "server=b")))


def files(cli, check):
    data = cli.scratch / "data"

    def identity():
        made = cli.run("id", "--data", data)
        assert made.returncode == 0 and re.fullmatch(r"12D3KooW\w+\n", made.stdout), made
        key = next(data.iterdir())
        assert key.stat().st_mode & 0o077 == 0, oct(key.stat().st_mode)
        for _ in range(2):
            with cli.start("--data", str(data)) as node:
                assert node.peer == made.stdout.strip(), (node.peer, made.stdout)
                assert node.stop() == 0
        assert json.loads(cli.run("id", "--data", data, "--json").stdout)["peer"] == made.stdout.strip()
        with cli.start() as one, cli.start() as other:
            assert len({one.peer, other.peer, made.stdout.strip()}) == 3
    check("--data keeps the identity, in a file for its owner alone; without it every run has its own", identity)

    def broken():
        folder = cli.scratch / "broken"
        cli.run("id", "--data", folder)
        key = next(folder.iterdir())
        for content in (b"", b"this is not a key", key.read_bytes()[:-1], key.read_bytes() + b"x"):
            key.write_bytes(content)
            cli.refused(1, [str(key)], "start", "--ns", cli.ns, "--data", folder)
            cli.refused(1, [str(key)], "id", "--data", folder)
            assert key.read_bytes() == content and list(folder.iterdir()) == [key]
    check("a key file that is none is named and left alone", broken)

    def unreadable():
        folder = cli.scratch / "unreadable"
        cli.run("id", "--data", folder)
        key = next(folder.iterdir())
        content = key.read_bytes()
        key.unlink()
        key.mkdir()  # root may read every file, but not a folder
        cli.refused(1, [str(key)], "start", "--ns", cli.ns, "--data", folder)
        assert key.is_dir() and content
        blocked = cli.scratch / "file"
        blocked.write_text("x")
        cli.refused(1, [str(blocked)], "start", "--ns", cli.ns, "--data", blocked / "below")
    check("a key file that cannot be read, a folder that cannot be made", unreadable)

    def allowed():
        friend, other = cli.scratch / "friend", cli.scratch / "other"
        peer = cli.run("id", "--data", friend).stdout.strip()
        cli.run("id", "--data", other)
        listed = cli.scratch / "allow"
        listed.write_text(f"# who may log in\n\n{peer}\n")
        with cli.start("--allow", str(listed)) as node:
            address = ["--ns", cli.ns, "--peer", node.address_in("127.")]
            assert ls(cli.ww, *address, "--data", str(friend)) == [node.server]
            for stranger in (["--data", str(other)], []):
                cli.refused(1, [node.peer, "denied"], "ls", *address, *stranger, "--timeout", "5s")
            assert ls(cli.ww, *address, "--data", str(friend)) == [node.server]
    check("--allow lets the listed peer in and nobody else", allowed)

    def bad_list():
        listed = cli.scratch / "allow-bad"
        listed.write_text("# fine\n12D3KooWnonsense\n")
        cli.refused(2, ["--allow", str(listed), "2"], "start", "--ns", cli.ns, "--allow", listed)
        cli.refused(1, ["--allow", "missing"], "start", "--ns", cli.ns, "--allow", cli.scratch / "missing")
    check("--allow: the line that is wrong, the file that is missing", bad_list)


def ports(cli, check):
    def in_use():
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            cli.refused(1, [f"/tcp/{port}", "in use"], "start", "--ns", cli.ns, "-l", f"/ip4/127.0.0.1/tcp/{port}")
    check("a port in use is named", in_use)
    check("an address of another machine is named", lambda: cli.refused(
        1, ["/ip4/192.0.2.1/tcp/0"], "start", "--ns", cli.ns, "-l", "/ip4/192.0.2.1/tcp/0"))


def nobody(cli, check):
    def silence():
        began = time.monotonic()
        cli.refused(1, ["1 s", "--peer"], "ls", "--ns", f"{cli.ns}-empty", "--timeout", "1s")
        assert 0.9 < time.monotonic() - began < 3, time.monotonic() - began
    check("ww ls with nobody there ends at --timeout and says what to do", silence)

    def wrong():
        with cli.start() as node, socket.create_server(("127.0.0.1", 0)) as mute:
            address = node.address_in("127.")
            other = cli.run("id", "--data", cli.scratch / "somebody").stdout.strip()
            cli.refused(1, [other], "ls", "--ns", cli.ns, "--peer", address.replace(node.peer, other))
            cli.refused(1, ["namespace"], "ls", "--ns", f"{cli.ns}-other", "--peer", address)
            port = mute.getsockname()[1]
            quiet = f"/ip4/127.0.0.1/tcp/{port}/p2p/{other}"
            began = time.monotonic()
            cli.refused(1, [other], "ls", "--ns", cli.ns, "--peer", quiet, "--timeout", "1s")
            assert time.monotonic() - began < 3
            # One that is dead beside one that lives costs nothing.
            assert ls(cli.ww, "--ns", cli.ns, "--peer", quiet, "--peer", address, "--timeout", "5s") == [node.server]
            cli.refused(1, ["in time"], "peer", f"/ip4/127.0.0.1/tcp/{port}", "--timeout", "1s")
        began = time.monotonic()
        cli.refused(1, [node.peer, "refused"], "ls", "--ns", cli.ns, "--peer", address)
        assert time.monotonic() - began < 3
        cli.refused(1, ["refused"], "peer", address)
    check("wrong peer, wrong namespace, a mute one, a closed port: each said, none waited for", wrong)


def outputs(cli, check):
    metas = [["--meta", f"zone=eu-{i}", "--meta", f"rank={i}"] for i in range(3)]
    with cli.start(*metas[0]) as a, cli.start(*metas[1]) as b, cli.start(*metas[2]) as c:
        nodes = [a, b, c]
        check("three nodes on one machine", lambda: all_see(nodes, 10))
        ask = ["--ns", cli.ns, "--peer", a.address_in("127.")]
        servers = [n.server for n in nodes]

        def pipe():
            done = cli.run("ls", *ask)
            assert done.stderr == "" and re.fullmatch(r"(/[0-9a-f]{16}\n){3}", done.stdout), done
            assert sorted(re.findall(r"\w{16}", done.stdout)) == sorted(servers)
        check("into a pipe: /SERVER, one a line", pipe)

        def as_json():
            records = [json.loads(line) for line in cli.run("ls", *ask, "--json").stdout.splitlines()]
            assert {r["server"]: r["peer"] for r in records} == {n.server: n.peer for n in nodes}, records
            assert all(r["host"] == socket.gethostname() for r in records), records
            meta = {r["server"]: r["meta"] for r in records}
            assert meta[b.server] == {"zone": "eu-1", "rank": "1"}, meta
        check("--json: one object a line, with all that is known", as_json)

        def table():
            text = cli.on_terminal("ls", *ask)
            assert all(s in text for s in servers) and "zone=eu-1" in text, text
            assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in text.splitlines()) <= 110, text
        check("on a terminal: a table that fits", table)

        def selections():
            assert ls(cli.ww, *ask, "WHERE", "rank==1") == [b.server]
            assert sorted(ls(cli.ww, *ask, "WHERE zone=eu AND NOT rank==1")) == sorted([a.server, c.server])
            assert sorted(ls(cli.ww, *ask, "WHERE", "rank!=1")) == sorted([a.server, c.server])
            assert ls(cli.ww, *ask, "WHERE", "(rank==0", "OR", "rank==2)", "AND", "zone==eu-2") == [c.server]
            assert ls(cli.ww, *ask, "WHERE", f"server=={c.server}") == [c.server]
            assert ls(cli.ww, *ask, "WHERE", f"peer=={b.peer}") == [b.server]
            assert ls(cli.ww, *ask, "WHERE", "zone=asia") == []
        check("WHERE selects", selections)

        def orders():
            ranked = sorted(servers)
            assert ls(cli.ww, *ask, "--order", "server") == ranked
            assert ls(cli.ww, *ask, "--order", "server", "--reverse") == ranked[::-1]
            assert ls(cli.ww, *ask, "--order", "server", "--limit", "2") == ranked[:2]
            assert ls(cli.ww, *ask, "--order", "id") == [n.server for n in sorted(nodes, key=lambda n: n.peer)]
            assert ls(cli.ww, *ask, "--from", f"server={ranked[1]}") == ranked[1:]
            assert ls(cli.ww, *ask, "--from", f"server={ranked[0]}", "--to", f"server={ranked[1]}") == ranked[:2]
            assert ls(cli.ww, *ask, "--to", f"server={ranked[1]}", "--reverse") == ranked[1::-1]
            assert sorted(ls(cli.ww, *ask, "--from", "rank=1")) == sorted(servers[1:])
            assert sorted(ls(cli.ww, *ask, "--from", "rank=0", "--to", "rank=1")) == sorted(servers[:2])
        check("--order, --reverse, --limit, --from, --to", orders)
        check("--count", lambda: [
            (lambda out: (_ for _ in ()).throw(AssertionError(out)) if out != want else None)(
                cli.run("ls", *ask, "--count", *more).stdout.strip()) for more, want in [([], "3"), (["WHERE", "rank==1"], "1")]])

        def peer():
            info = json.loads(cli.run("peer", a.address_in("127."), "--json").stdout)
            assert info["peer"] == a.peer and len(info["ping_ms"]) == 3, info
            assert f"ww/0.1.0/{cli.ns}/packed" in info["protocols"] and "/ipfs/ping/1.0.0" in info["protocols"], info
            bare = a.address_in("127.").split("/p2p/")[0]
            text = cli.run("peer", bare).stdout
            assert a.peer in text and text.count("ping ") >= 3, text
        check("ww peer, with and without the id", peer)

        def watch():
            with Daemon([cli.ww, "ls", *ask, "--watch", "--json", "WHERE", "zone=eu"], ready=None, env=ENV) as standing:
                wait_for(lambda: sum(any(s in line for line in standing.lines) for s in servers) == 3, 5, "what matches now")
                mark = len(standing.lines)
                with cli.start("--meta", "zone=eu-9") as late, cli.start("--meta", "zone=us-1") as other:
                    wait_for(lambda: any(late.server in line for line in standing.lines[mark:]), 5, "the newcomer")
                    mark_leave = len(standing.lines)
                    assert late.stop() == 0 and other.stop() == 0
                    wait_for(lambda: any(late.server in line for line in standing.lines[mark_leave:]), 5, "its leaving")
                assert not any(other.server in line for line in standing.lines), standing.lines
                [json.loads(line) for line in standing.lines]
                assert standing.stop(signal.SIGINT) == 0, standing.errors
                assert standing.errors == []
        check("--watch tells joins and leaves of what matches, and of nothing else", watch)

        def signals():
            for node, sig in ((b, signal.SIGINT), (c, signal.SIGTERM)):
                assert node.stop(sig) == 0, sig
                assert node.events("node.stopped") and node.errors == [], node.errors
        check("SIGINT and SIGTERM: exit 0", signals)

        def closed_pipe():
            reader, writer = os.pipe()
            os.close(reader)
            done = subprocess.run([cli.ww, "ls", *ask], stdout=writer, stderr=subprocess.PIPE, env=ENV, timeout=20)
            os.close(writer)
            assert done.returncode != 0, done  # killed by SIGPIPE or told, but not as if all had been written
        check("a reader that went away is not taken for success", closed_pipe)


def hostile(cli, check):
    """One node, plain output; every attack must leave it serving and silent."""
    with Daemon([cli.ww, "start", "--ns", cli.ns + "-h", *HERE], ready="wetware", env=ENV) as node:
        line = node.expect(lambda text: text.strip().startswith("address /ip4/127."))
        address = line.split()[-1]
        port = int(re.search(r"/tcp/(\d+)/", address)[1])
        told = len(node.lines)
        rpc = f"ww/0.1.0/{cli.ns}-h/packed"
        junk = os.urandom(70000)

        def attack(name, *stages, close=True):
            def body():
                with Dialer("127.0.0.1", port) as peer:
                    try:
                        for stage in stages:
                            stage(peer)
                    except (ConnectionError, EOFError, ValueError):
                        pass  # it hung up on us, as it may
                    if close:
                        assert peer.closed(), "the node keeps the connection"
                assert len(ls(cli.ww, "--ns", cli.ns + "-h", "--peer", address, "--timeout", "5s")) == 1
                assert node.process.poll() is None, node.process.returncode
            check(name, body)

        raw = lambda data: lambda p: p.raw(data)  # noqa: E731
        send = lambda data: lambda p: p.send(data)  # noqa: E731
        on_stream = lambda number, data: lambda p: p.stream(number, data)  # noqa: E731
        offer = lambda protocol: token("/multistream/1.0.0") + token(protocol)  # noqa: E731
        attack("speaks HTTP", raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        attack("speaks TLS", raw(bytes.fromhex("1603010200010001fc0303") + junk[:500]))
        attack("random bytes", raw(junk))
        attack("a line of negotiation without an end", raw(b"\xff\xff\xff\xff\x0f" + b"a" * 5000))
        attack("negotiation of nothing that we have, for ever",
               raw(token("/multistream/1.0.0") + token("/none/1.0.0") * 3000))
        attack("garbage for the first message of Noise", Dialer.multistream, raw(b"\x00\x30" + junk[:48]))
        attack("an empty first message", Dialer.multistream, raw(b"\x00\x00"))
        attack("garbage for the third", Dialer.multistream, Dialer.noise_first, Dialer.noise_second, raw(b"\x00\x80" + junk[:128]))
        attack("a signature over something else", Dialer.multistream, Dialer.noise_first, Dialer.noise_second,
               lambda p: p.noise_third(lie=True))
        attack("garbage after the handshake", Dialer.multistream, Dialer.noise, raw(b"\x04\x00" + junk[:1024]))
        attack("garbage instead of a muxer", Dialer.multistream, Dialer.noise, send(junk[:1000]))
        attack("garbage instead of Yamux frames", Dialer.multistream, Dialer.noise, Dialer.muxer, send(junk[:1000]))
        attack("a Yamux frame past its window", Dialer.up, lambda p: p.yamux(0, 1, 1, 0xffffffff, b"x"))
        attack("garbage instead of a protocol on a stream", Dialer.up, on_stream(1, junk[:300]), close=False)
        attack("garbage instead of RPC", Dialer.up, on_stream(1, offer(rpc) + junk[:2000]), close=False)
        attack("an RPC message of 2 GiB", Dialer.up,
               on_stream(1, offer(f"ww/0.1.0/{cli.ns}-h") + struct.pack("<II", 0, 0x0fffffff)), close=False)
        attack("garbage instead of gossip", Dialer.up,
               on_stream(1, offer(f"ww/0.1.0/{cli.ns}-h/meshsub/1.1.0") + b"\x80\x02" + junk[:256]), close=False)
        attack("garbage instead of identify", Dialer.up, on_stream(1, offer("/ipfs/id/push/1.0.0") + b"\x80\x02" + junk[:256]),
               close=False)
        attack("hangs up after every stage", lambda p: [Dialer("127.0.0.1", port).__exit__() for _ in range(50)],
               close=False)

        def quiet():
            assert node.lines[told:] == [] and node.errors == [], (node.lines[told:], node.errors)
            assert node.stop() == 0
        check("through all of it the node says nothing", quiet)


def main(ww, scratch):
    tap = Tap()
    stories = {story.__name__: (lambda check, story=story: story(Cli(ww, scratch, story.__name__), check))
               for story in (usage, queries, files, ports, nobody, outputs, hostile)}
    tap.together(**stories)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
