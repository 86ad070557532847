#!/usr/bin/env python3
"""Two ww-peer processes on loopback: every test of the tool, its exit codes, and listeners that are spoken to by others.

usage: ww_peer.py WW_PEER   (TAP on stdout)"""
import json
import pathlib
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from harness import Tap, Daemon, run  # noqa: E402

SEED1 = "12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X"


def code(command):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60)


def tests(tap, ww):
    def identity():
        with Daemon([ww, "listen", "--seed", "1", "--agent", "somebody/1"]) as peer:
            assert peer.address.endswith("/p2p/" + SEED1), peer.address
            info = json.loads(run([ww, "dial", peer.address, "identify"]))
            assert info["peer"] == SEED1 and info["agent"] == "somebody/1", info
            assert {"/ipfs/id/1.0.0", "/ipfs/ping/1.0.0", "/perf/1.0.0", "/meshsub/1.1.0"} <= set(info["protocols"]), info
            assert peer.address.split("/p2p/")[0] in info["listen_addrs"], info

    def ping():
        with Daemon([ww, "listen"]) as peer:
            lines = run([ww, "dial", peer.address, "ping", "--pings", "5"]).splitlines()
            assert [line.split()[:2] for line in lines] == [["PING", str(i)] for i in range(1, 6)], lines
            assert all(0 < float(line.split()[2]) < 5000 and line.endswith(" ms") for line in lines), lines

    def perf():
        with Daemon([ww, "listen"]) as peer:
            for up, down in ((0, 0), (1, 1), (100 << 20, 0), (0, 100 << 20), (12345678, 87654321)):
                info = json.loads(run([ww, "dial", peer.address, "perf", "--bytes-up", up, "--bytes-down", down]))
                assert info["bytes_up"] == up and info["bytes_down"] == down, info

    def gossip():
        with Daemon([ww, "listen", "gossip", "--topic", "t"]) as middle:
            command = [str(c) for c in [ww, "dial", middle.address, "gossip", "--topic", "t", "--publish", 50, "--expect", 50]]
            other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            mine = json.loads(run(command))
            theirs = json.loads(other.communicate(timeout=60)[0])
            for info in (mine, theirs):
                assert info == {"published": 50, "received": 50, "duplicates": 0}, info

    def many_at_once():
        with Daemon([ww, "listen"]) as peer:
            running = [subprocess.Popen([ww, "dial", peer.address, "ping", "--pings", "20"], stdout=subprocess.DEVNULL)
                       for _ in range(20)]
            assert [p.wait(60) for p in running] == [0] * 20

    def ipv6_and_several():
        with Daemon([ww, "listen", "--addr", "/ip6/::1/tcp/0", "--addr", "/ip4/127.0.0.1/tcp/0"]) as peer:
            second = peer.expect(lambda line: line.startswith("LISTEN /ip4")).split()[1]
            assert peer.address.startswith("/ip6/::1/tcp/"), peer.address
            for address in (peer.address, second):
                run([ww, "dial", address, "ping", "--pings", "1"])

    tap.check("identify tells seed, agent, protocols and addresses", identity)
    tap.check("ping prints a line each", ping)
    tap.check("perf moves exactly what was asked", perf)
    tap.check("gossip through a third peer, every message once", gossip)
    tap.check("twenty dialers at once", many_at_once)
    tap.check("IPv6, and several addresses", ipv6_and_several)


def exits(tap, ww):
    def usage():
        for words in ([], ["fly"], ["dial"], ["dial", "x"], ["dial", "/ip4/127.0.0.1/tcp/1", "jump"], ["listen", "--nope"],
                      ["listen", "--seed", "-1"], ["listen", "--seed", "4294967296"], ["dial", "nonsense", "ping"]):
            done = code([ww] + words)
            assert done.returncode == 2 and done.stderr and not done.stdout, (words, done)
        assert code([ww, "--help"]).returncode == 0

    def cannot():
        assert code([ww, "listen", "--security", "tls"]).returncode == 3
        assert code([ww, "listen", "--muxer", "mplex"]).returncode == 3

    def failed():
        with Daemon([ww, "listen", "--seed", "1"]) as peer:
            base = peer.address.split("/p2p/")[0]
            wrong = code([ww, "dial", base + "/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN", "ping"])
            assert wrong.returncode == 1 and "peer id does not match" in wrong.stderr, wrong
            assert code([ww, "dial", base, "ping"]).returncode == 0  # whoever answers
        gone = code([ww, "dial", peer.address, "ping"])
        assert gone.returncode == 1 and "connection refused" in gone.stderr and base in gone.stderr, gone
        with socket.create_server(("127.0.0.1", 0)) as silent:
            start = time.monotonic()
            mute = code([ww, "dial", f"/ip4/127.0.0.1/tcp/{silent.getsockname()[1]}", "ping", "--timeout", "1"])
            assert mute.returncode == 1 and "timed out" in mute.stderr and time.monotonic() - start < 5, mute

    tap.check("wrong usage exits with 2 and says why", usage)
    tap.check("what it cannot do exits with 3", cannot)
    tap.check("failures exit with 1 and say why", failed)


def strangers(tap, ww):
    """The listener goes on serving whatever is said to it."""
    def flood():
        with Daemon([ww, "listen"]) as peer:
            port = int(peer.address.split("/")[4])
            half_open = [socket.create_connection(("127.0.0.1", port)) for _ in range(79)]
            for s in half_open:
                s.sendall(b"\x13/multistream/1.0.0\n")
            run([ww, "dial", peer.address, "ping", "--timeout", "5"])
            for s in half_open:
                s.close()

    def garbage():
        with Daemon([ww, "listen"]) as peer:
            port = int(peer.address.split("/")[4])
            for said in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b"x" * 100, b"\x16\x03\x01" + b"x" * 100, b"\xff" * 50, b""):
                with socket.create_connection(("127.0.0.1", port)) as s:
                    s.sendall(said)
                    s.shutdown(socket.SHUT_WR)
                    s.settimeout(5)
                    try:
                        while s.recv(4096):
                            pass
                    except ConnectionResetError:
                        pass
            run([ww, "dial", peer.address, "ping"])

    tap.check("79 half-open handshakes keep nobody out", flood)
    tap.check("garbage is closed on", garbage)


def main(ww):
    tap = Tap()
    tests(tap, ww)
    exits(tap, ww)
    strangers(tap, ww)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
