#!/usr/bin/env python3
"""Whole nodes as real processes in network namespaces on a bridge: they find each other, lose each other, and find each other
again.

usage: cluster.py WW   (TAP on stdout; needs the right to make network namespaces)"""
import contextlib
import functools
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from cluster import Node, all_see, hold, ls  # noqa: E402
from harness import Netns, Tap, can_netns, wait_for  # noqa: E402

NODES, TTL = 12, 3
NO_MULTICAST = "ether type ip ip daddr 224.0.0.0/4 drop"
NO_UDP = "ether type ip ip protocol udp drop"


def places(net):
    return [functools.partial(net.inside, i) for i in range(net.count)]


def start(stack, ww, place, *options, ttl=TTL):
    return stack.enter_context(Node(ww, "--ttl", f"{ttl}s", *options, place=place))


def set_of(nodes):
    return sorted(n.server for n in nodes)


def listing(node, net, i):
    """What the node itself answers to a client beside it."""
    return sorted(ls(node.ww, "--peer", node.address_in(net.subnet), place=node.place))


def twelve(ww, check):
    """One cluster through its whole life. The thirteenth namespace is a client's."""
    with Netns("life", NODES + 1, "10.77.0") as net, contextlib.ExitStack() as stack:
        at = places(net)
        client = at[NODES]
        nodes = [start(stack, ww, at[i], "--meta", f"half={'left' if i < NODES // 2 else 'right'}") for i in range(NODES)]
        left, right = nodes[:NODES // 2], nodes[NODES // 2:]
        check(f"{NODES} nodes converge without configuration", lambda: all_see(nodes, 20))

        def client_lists():
            assert sorted(ls(ww, place=client)) == set_of(nodes)
            assert sorted(ls(ww, "WHERE", "half==left", place=client)) == set_of(left)
        check("ww ls from a namespace without a node lists them, and half of them by a query", client_lists)

        def lossy():
            marks = [len(n.lines) for n in nodes]
            net.filter("ether type ip numgen random mod 100 < 5 counter drop")
            try:
                hold(40, lambda: not any(n.events("cluster.leave", m) for n, m in zip(nodes, marks)),
                     "nobody is forgotten by anybody")
                assert net.counted()[0] > 50, net.counted()
                wait_for(lambda: sorted(ls(ww, place=client)) == set_of(nodes), 5, "a query gets through")
            finally:
                net.filter()
        check("5 % loss for 40 s flaps nobody", lossy)

        def apart():
            ports = [", ".join(f'"p{i}"' for i in half) for half in (range(NODES // 2), range(NODES // 2, NODES))]
            net.filter(f"iifname {{ {ports[0]} }} oifname {{ {ports[1]} }} drop",
                       f"iifname {{ {ports[1]} }} oifname {{ {ports[0]} }} drop")
            all_see(left, TTL + 5, what="the left half sees itself alone")
            all_see(right, TTL + 5, what="the right half sees itself alone")
            assert listing(left[0], net, 0) == set_of(left)
            assert listing(right[-1], net, NODES - 1) == set_of(right)
            # Long enough for what was in flight to be given up: healing must not depend on it.
            hold(6, lambda: all(n.members() == set(set_of(left)) for n in left), "the left half stays by itself")
        check("a partition makes two halves that each serve their own view", apart)

        def healed():
            net.filter()
            all_see(nodes, 40)
        check("healing merges them within 40 s", healed)

        def crash():
            gone, rest = nodes[3], nodes[:3] + nodes[4:]
            began = time.monotonic()
            gone.stop(signal.SIGKILL)
            all_see(rest, TTL + 1, what="the killed node is forgotten within its TTL + 1 s")
            assert gone.server not in ls(ww, place=client), time.monotonic() - began
        check("kill -9: forgotten by all within TTL + 1 s", crash)

        def leave():
            rest = nodes[:3] + nodes[4:7] + nodes[8:]
            assert nodes[7].stop(signal.SIGTERM) == 0
            all_see(rest, TTL / 3, what="who says farewell is dropped at once")
            reasons = {e["reason"] for n in rest for e in n.events("cluster.leave")[-1:]}
            assert reasons == {"left"}, reasons
        check("SIGTERM: exit 0, and the others drop it at once", leave)

        def back():
            again = start(stack, ww, at[7])
            rest = nodes[:3] + nodes[4:7] + nodes[8:] + [again]
            all_see(rest, 10)
        check("a newcomer is known to all", back)


def static(ww, check):
    with Netns("static", 3, "10.78.0") as net, contextlib.ExitStack() as stack:
        net.filter(NO_UDP)
        at = places(net)
        first = start(stack, ww, at[0])
        second = start(stack, ww, at[1], "-p", first.address_in(net.subnet))
        third = start(stack, ww, at[2], "-p", second.address_in(net.subnet))
        check("three nodes in a row by -p, without a datagram", lambda: all_see([first, second, third], 10))
        check("ww ls -p", lambda: wait_for(lambda: sorted(ls(ww, "-p", first.address_in(net.subnet), place=at[2])) ==
                                           set_of([first, second, third]), 5, "all three are listed"))


def crawl(ww, check):
    with Netns("crawl", 4, "10.79.0") as net, contextlib.ExitStack() as stack:
        net.filter(NO_MULTICAST)
        at = places(net)
        where = ["-d", f"/ip4/{net.subnet}.0/udp/8822/cidr/29"]
        nodes = [start(stack, ww, at[i], *where) for i in range(3)]
        check("nodes find each other by asking each host of a /29", lambda: all_see(nodes, 20))
        check("ww ls by asking each host", lambda: wait_for(lambda: sorted(ls(ww, *where, place=at[3])) == set_of(nodes), 5,
                                                            "all three are listed"))
        check("ww ls by asking one host", lambda: wait_for(
            lambda: sorted(ls(ww, "-d", f"/ip4/{net.address(1)}/udp/8822", place=at[3])) == set_of(nodes), 5,
            "all three are listed"))


def names(ww, check):
    with Netns("names", 4, "10.80.0") as net, contextlib.ExitStack() as stack:
        at = places(net)
        red = [start(stack, ww, at[i], "--ns", "red") for i in (0, 1)]
        blue = [start(stack, ww, at[i], "--ns", "blue") for i in (1, 2)]  # one machine has a node of each

        def apart():
            all_see(red, 10)
            all_see(blue, 10)
            hold(5, lambda: all(n.members() == set(set_of(red)) for n in red) and
                 all(n.members() == set(set_of(blue)) for n in blue), "no namespace sees the other")
        check("two namespaces on one bridge do not mix", apart)
        check("ww ls --ns lists its own", lambda: [
            wait_for(lambda: sorted(ls(ww, "--ns", ns, place=at[3])) == set_of(nodes), 5, ns)
            for ns, nodes in (("red", red), ("blue", blue))])


def main(ww):
    tap = Tap()
    if not can_netns():
        tap.skip("whole clusters in network namespaces", "no right to make network namespaces, or no ip or nft: run as root")
        return tap.end()
    tap.together(twelve_nodes=functools.partial(twelve, ww), static_peers=functools.partial(static, ww),
                 subnet=functools.partial(crawl, ww), namespaces=functools.partial(names, ww))
    return tap.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
