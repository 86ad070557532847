#!/usr/bin/env python3
"""Our libp2p tool against go-libp2p and js-libp2p, each dialing the other: identify, ping, 64 MiB both ways, gossip.

usage: peers.py WW_PEER SCRATCH   (TAP on stdout)
A missing toolchain skips its rows, loudly. Everything runs on loopback and is ended by process id."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from harness import Tap, Daemon, run, build_go, install_js  # noqa: E402

MIB64 = 64 << 20
SIZES = ["--bytes-up", str(MIB64), "--bytes-down", str(MIB64)]


def dial_rows(tap, name, dialer, listener_name, address):
    """`dialer(test, options)` gives the command line that runs one test against `address`."""
    def row(test, options, check):
        def body():
            out = run(dialer(address, test) + options, timeout=60)
            check(out)
        tap.check(f"{name} dials {listener_name}: {test}", body)

    def pings(out):
        assert out.count("PING ") == 3, out

    def identify(out):
        info = json.loads(out)
        assert info["peer"] == address.rsplit("/", 1)[1], out
        assert "/ipfs/id/1.0.0" in info["protocols"] and info["agent"], out

    def perf(out):
        info = json.loads(out)
        assert info["bytes_up"] == MIB64 and info["bytes_down"] == MIB64, out

    row("ping", [], pings)
    row("identify", [], identify)
    row("perf", SIZES, perf)


def gossip_rows(tap, ww, others):
    """Each other implementation echoes what ours publishes; then ours forwards between two of theirs."""
    for name, listen in others.items():
        def body(listen=listen):
            with Daemon(listen(["--topic", "t"])) as peer:
                out = run([ww, "dial", peer.address, "gossip", "--topic", "t", "--publish", "20", "--expect", "20",
                           "--timeout", "30"], timeout=60)
                info = json.loads(out)
                assert info["published"] == 20 and info["received"] == 20 and info["duplicates"] == 0, out
        tap.check(f"ww-peer publishes 20 messages to {name}, gets 20 echoes", body)


def forward_row(tap, ww, gopeer, publisher_name, publisher):
    def body():
        with Daemon([ww, "listen", "gossip", "--topic", "t"]) as middle:
            with Daemon([gopeer, "dial", middle.address, "gossip-echo", "--topic", "t"], ready="READY"):
                info = json.loads(run(publisher(middle.address) + ["--topic", "t", "--count", "10"], timeout=60))
                assert info["received"] == 10, info
    tap.check(f"ww-peer forwards gossip between {publisher_name} and go-libp2p", body)


def main(ww, scratch):
    tap = Tap()
    gopeer = build_go(scratch)
    jspeer = install_js(scratch)
    sides = {}
    if gopeer:
        sides["go-libp2p"] = (lambda o: [gopeer, "listen"] + o, lambda a, t: [gopeer, "dial", a, t])
    else:
        tap.skip("go-libp2p in all roles", "no Go toolchain of 1.21 or newer")
    if jspeer:
        sides["js-libp2p"] = (lambda o: ["node", jspeer, "listen"] + o, lambda a, t: ["node", jspeer, "dial", a, t])
    else:
        tap.skip("js-libp2p in all roles", "no Node of version 20 or newer, or no npm")
    for name, (listen, dial) in sides.items():
        with Daemon([ww, "listen"]) as ours:
            dial_rows(tap, name, dial, "ww-peer", ours.address)
        with Daemon(listen([])) as theirs:
            dial_rows(tap, "ww-peer", lambda a, t: [ww, "dial", a, t], name, theirs.address)
    gossip_rows(tap, ww, {name: side[0] for name, side in sides.items()})
    if gopeer:
        forward_row(tap, ww, gopeer, "go-libp2p", lambda a: [gopeer, "dial", a, "gossip"])
    if gopeer and jspeer:
        forward_row(tap, ww, gopeer, "js-libp2p", lambda a: ["node", jspeer, "dial", a, "gossip"])
    return tap.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], pathlib.Path(sys.argv[2])))
