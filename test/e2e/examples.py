#!/usr/bin/env python3
"""The programs in examples/: each does what its --help says, the calculator also opposite the C++ implementation, and all
build against an installed copy with pkg-config alone.

usage: examples.py BUILD SCRATCH   (TAP on stdout)"""
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from harness import ROOT, Daemon, Tap, run, wait_for  # noqa: E402

EXAMPLES = ROOT / "examples"
PROGRAMS = ["addressbook", "calculator-client", "calculator-server", "chat", "files"]
ANSWERS = ("123 = 123\n123 + 45 - 67 = 101\n4 * 6 + 3 = 27\n4 * 6 + 5 = 29\nf(12, 34) = 1234\ng(21) = 4244\n"
           "2 ^ (4 + 5) = 512\n")
BOOK = """Alice: alice@example.com
  mobile phone: 555-1212
  student at: MIT
Bob: bob@example.com
  home phone: 555-4567
  work phone: 555-7654
  unemployed
"""


def output(command, stdin=b"", code=0):
    result = subprocess.run([str(c) for c in command], input=stdin, capture_output=True, timeout=30)
    assert result.returncode == code, (result.returncode, result.stderr)
    return result.stdout


# ---- address book

def address_book(tap, program):
    schema = EXAMPLES / "addressbook.capnp"
    for packed in ([], ["--packed"]):
        name = "packed" if packed else "plain"

        def both_ways(packed=packed):
            assert output([program, "read", *packed], output([program, "write", *packed])).decode() == BOOK

        def by_the_tool(packed=packed):
            text = output(["capnp", "decode", *packed, schema, "AddressBook"], output([program, "write", *packed]))
            assert b"school = \"MIT\"" in text and b"type = work" in text, text
            again = output(["capnp", "encode", *packed, schema, "AddressBook"], text)
            assert output([program, "read", *packed], again).decode() == BOOK
        tap.check(f"address book, {name}: reads what it wrote", both_ways)
        tap.check(f"address book, {name}: reads and writes what the capnp tool does", by_the_tool)

    def bad_input():
        whole = output([program, "write"])
        for cut in (0, 3, 9, len(whole) - 1):
            output([program, "read"], whole[:cut], code=1)
        output([program, "read"], b"\xff" * 64, code=1)
    tap.check("address book: refuses what is cut short or no message", bad_input)


# ---- calculator

def calculators(tap, client, server, cxx, scratch):
    kinds = {"ours": ([server], [client])}
    if cxx:
        kinds["C++"] = ([cxx, "serve"], [cxx, "ask"])
    for serves, (serve, _) in kinds.items():
        for asks, (_, ask) in kinds.items():
            if serves == asks == "C++":
                continue
            for family in ("unix", "tcp"):
                def body(serve=serve, ask=ask, family=family):
                    path = scratch / "calculator.sock"
                    path.unlink(missing_ok=True)
                    with Daemon([*serve, f"unix:{path}" if family == "unix" else "127.0.0.1:0"]) as daemon:
                        for _ in range(3):
                            assert run([*ask, daemon.address]) == ANSWERS
                        assert daemon.process.poll() is None
                tap.check(f"calculator over {family}: {serves} serves, {asks} asks", body)
    if not cxx:
        tap.skip("calculator opposite the C++ implementation", "libcapnp-dev is not installed")

    def nobody():
        result = subprocess.run([client, "127.0.0.1:1"], capture_output=True, text=True, timeout=20)
        assert result.returncode == 1 and "refused" in result.stderr, result
    tap.check("calculator: says that nobody is there", nobody)

    def garbage():
        with Daemon([server, "127.0.0.1:0"]) as daemon:
            host, port = daemon.address.split(":")
            for bad in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100, b""):
                with socket.create_connection((host, int(port))) as s:
                    s.sendall(bad)
            assert run([client, daemon.address]) == ANSWERS
    tap.check("calculator: survives garbage", garbage)


# ---- chat

class Talker:
    def __init__(self, program, address, name):
        self.process = subprocess.Popen([program, "join", address, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.heard = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            self.heard.append(line.rstrip("\n"))

    def hears(self, line):
        wait_for(lambda: line in self.heard, 10, f"{line!r} in {self.heard}")

    def say(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()


def chat(tap, program, scratch):
    path = scratch / "chat.sock"
    path.unlink(missing_ok=True)
    talkers = []

    def story():
        with Daemon([program, "serve", f"unix:{path}"]) as server:
            try:
                for name in ("ann", "bob", "cyd"):
                    talkers.append(Talker(program, server.address, name))
                    talkers[-1].hears("* you are in")
                ann, bob, cyd = talkers
                ann.hears("* cyd has come")
                bob.say("hello, all")
                for who in talkers:
                    who.hears("bob: hello, all")
                taken = subprocess.run([program, "join", server.address, "ann"], stdin=subprocess.PIPE, capture_output=True,
                                       text=True, timeout=20)
                assert taken.returncode == 1 and "taken" in taken.stderr, taken
                cyd.process.kill()  # without a word
                ann.hears("* cyd has left")
                bob.process.stdin.close()  # in an orderly way
                ann.hears("* bob has left")
                assert bob.process.wait(10) == 0
                ann.say("alone")
                ann.hears("ann: alone")
                server.kill()
                assert ann.process.wait(10) == 1  # the end of the server is noticed as well
            finally:
                for who in talkers:
                    who.process.kill()
                    who.process.wait()
    tap.check("chat: the server pushes to everybody, and notices who leaves or dies", story)

    def many():
        path.unlink(missing_ok=True)
        with Daemon([program, "serve", f"unix:{path}"]) as server:
            crowd = [Talker(program, server.address, f"n{i}") for i in range(30)]
            try:
                for who in crowd:
                    who.hears("* you are in")
                for i, who in enumerate(crowd):
                    who.say(f"from {i}")
                for who in crowd:
                    for i in range(30):
                        who.hears(f"n{i}: from {i}")
                    said = [line for line in who.heard if ": from" in line]
                    assert len(said) == len(set(said)) == 30, said
            finally:
                for who in crowd:
                    who.process.kill()
                    who.process.wait()
    tap.check("chat: thirty people at once hear each other, once", many)


# ---- files

def plain_copy(source, target):
    """The same way through a socket, without RPC; seconds."""
    start = time.monotonic()
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        with open(target, "wb", buffering=0) as out:
            buffer = memoryview(bytearray(1 << 18))
            while n := theirs.recv_into(buffer):
                out.write(buffer[:n])
        os._exit(0)
    theirs.close()
    with open(source, "rb", buffering=0) as data:
        buffer = memoryview(bytearray(1 << 18))
        while n := data.readinto(buffer):
            ours.sendall(buffer[:n])
    ours.close()
    os.waitpid(pid, 0)
    return time.monotonic() - start


def files(tap, program, scratch):
    store, here = scratch / "store", scratch / "here"
    for folder in (store, here):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    path = scratch / "files.sock"
    path.unlink(missing_ok=True)
    data = os.urandom(5_000_003)
    (here / "a").write_bytes(data)
    (here / "empty").write_bytes(b"")

    with Daemon([program, "serve", f"unix:{path}", store]) as server:
        def up_and_down():
            for name in ("a", "empty"):
                run([program, "put", server.address, here / name])
                assert (store / name).read_bytes() == (here / name).read_bytes()
                run([program, "get", server.address, name, here / "back"])
                assert (here / "back").read_bytes() == (here / name).read_bytes()
            assert not list(store.glob("*.part")) and not list(here.glob("*.part"))
        tap.check("files: up and down, also an empty one", up_and_down)

        def resumed():
            for cut in (1, 7, 40_000, 4_999_999, 5_000_003):
                (store / "r.part").write_bytes(data[:cut])
                said = subprocess.run([program, "put", server.address, here / "a", "r"], capture_output=True, text=True)
                assert said.returncode == 0 and f"going on at {cut}" in said.stderr, said
                assert (store / "r").read_bytes() == data
                (here / "r.part").write_bytes(data[:cut])
                said = subprocess.run([program, "get", server.address, "r", here / "r"], capture_output=True, text=True)
                assert said.returncode == 0 and f"going on at {cut}" in said.stderr, said
                assert (here / "r").read_bytes() == data
        tap.check("files: goes on where it ended, at any byte", resumed)

        def corrupt():
            (store / "c.part").write_bytes(bytes([data[0] ^ 1]) + data[1:1000])
            said = subprocess.run([program, "put", server.address, here / "a", "c"], capture_output=True, text=True)
            assert said.returncode == 1 and "checksum" in said.stderr, said
            assert not (store / "c").exists() and not (store / "c.part").exists()
            (here / "c.part").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
            said = subprocess.run([program, "get", server.address, "a", here / "c"], capture_output=True, text=True)
            assert said.returncode == 1 and not (here / "c").exists(), said
        tap.check("files: a wrong byte is found by the checksum", corrupt)

        def refused():
            for name in ("../a", "", ".hidden", "x.part", "n" * 300):
                said = subprocess.run([program, "put", server.address, here / "a", name], capture_output=True, text=True)
                assert said.returncode == 1 and "no name" in said.stderr, (name, said)
            said = subprocess.run([program, "get", server.address, "nothing", here / "n"], capture_output=True, text=True)
            assert said.returncode == 1 and "No such file" in said.stderr, said
        tap.check("files: refuses names that lead elsewhere", refused)

        def killed():
            big = here / "big"
            with open(big, "wb") as out:
                for _ in range(64):
                    out.write(data[:1 << 20])
            child = subprocess.Popen([program, "put", server.address, big], stdout=subprocess.DEVNULL)
            part = store / "big.part"
            wait_for(lambda: part.exists() and part.stat().st_size > 1 << 20, 10, "a part", interval=0.002)
            child.kill()
            child.wait()
            wait_for(lambda: subprocess.run([program, "put", server.address, big], capture_output=True).returncode == 0, 10,
                     "the upload to be taken up again")
            assert (store / "big").read_bytes() == big.read_bytes()
        tap.check("files: an upload that was killed is taken up again", killed)

        def several():
            children = [subprocess.Popen([program, "put", server.address, here / "a", f"s{i}"], stdout=subprocess.DEVNULL)
                        for i in range(8)]
            assert all(c.wait(30) == 0 for c in children)
            assert all((store / f"s{i}").read_bytes() == data for i in range(8))
        tap.check("files: eight uploads side by side", several)

        def speed():
            size = 256 << 20
            big = here / "big"
            with open(big, "wb") as out:
                for _ in range(size >> 20):
                    out.write(data[:1 << 20])
            ours, plain = [], []
            for _ in range(3):
                plain.append(plain_copy(big, store / "plain"))
                start = time.monotonic()
                run([program, "put", server.address, big], timeout=60)
                ours.append(time.monotonic() - start)
                (store / "big").unlink()
            rates = [size / min(t) / 1e6 for t in (ours, plain)]
            print(f"# 256 MiB: {rates[0]:.0f} MB/s; a plain copy through a socket {rates[1]:.0f} MB/s")
            assert rates[0] > 20, rates  # a stall, not a slow machine
        tap.check("files: keeps moving", speed)


# ---- --help, and an installed copy

def helps(tap, programs):
    def body():
        for name, program in programs.items():
            text = output([program, "--help"]).decode()
            assert text.startswith(f"usage: {name} ") and len(text.splitlines()) >= 2, text
            output([program], code=2)
    tap.check("each program has --help and refuses wrong arguments", body)


def installed(tap, build, scratch):
    root, work = scratch / "install", scratch / "work"
    for folder in (root, work):
        shutil.rmtree(folder, ignore_errors=True)
    tools = scratch / "bin"

    def body():
        run(["meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", root], timeout=120)
        work.mkdir()
        for path in EXAMPLES.glob("*"):
            if path.suffix in (".c", ".capnp") or path.name == "Makefile":
                shutil.copy(path, work)
        plugin = next(root.rglob("bin/capnpc-ww"))
        pc = next(root.rglob("ww-capnp.pc")).parent
        lib = next(root.rglob("libww-capnp.so")).parent
        env = dict(os.environ, PKG_CONFIG_PATH=str(pc), PKG_CONFIG_SYSROOT_DIR=str(root),
                   PATH=f"{plugin.parent}:{os.environ['PATH']}", CFLAGS="-std=gnu11 -Wall -Wextra -Werror -O1")
        run(["make", "-C", work, "-j2", "all"], timeout=120, env=env)
        os.environ["LD_LIBRARY_PATH"] = str(lib)
        try:
            assert output([work / "addressbook", "read"], output([work / "addressbook", "write"])).decode() == BOOK
            with Daemon([work / "calculator-server", "127.0.0.1:0"]) as daemon:
                assert run([work / "calculator-client", daemon.address]) == ANSWERS
            helps_of = {name: work / name for name in PROGRAMS}
            for name, program in helps_of.items():
                assert output([program, "--help"]).decode().startswith(f"usage: {name} ")
        finally:
            del os.environ["LD_LIBRARY_PATH"]
        shutil.rmtree(root)
    tap.check("the examples build against an installed copy with make, pkg-config and capnp alone", body)
    shutil.rmtree(tools, ignore_errors=True)


def main(build, scratch):
    tap = Tap()
    build, scratch = pathlib.Path(build), pathlib.Path(scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    sockets = pathlib.Path(f"/tmp/ww-examples-{os.getpid()}")  # short: a socket's path has at most 107 bytes
    sockets.mkdir()
    program = {name: build / "examples" / f"example-{name}" for name in PROGRAMS}
    cxx = build / "test/interop/capnp-cxx/capnp-cxx-calculator"
    try:
        helps(tap, program)
        address_book(tap, program["addressbook"])
        calculators(tap, program["calculator-client"], program["calculator-server"], cxx if cxx.exists() else None, sockets)
        chat(tap, program["chat"], sockets)
        files(tap, program["files"], sockets)
        installed(tap, build, scratch)
    finally:
        shutil.rmtree(sockets, ignore_errors=True)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
