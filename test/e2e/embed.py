#!/usr/bin/env python3
"""A program of somebody else's on an installed libww: the example of examples/ built in strict C with nothing but what
pkg-config says, against the shared and the static library, and two of them meeting on loopback.

usage: embed.py BUILD SCRATCH   (TAP on stdout)"""
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import ROOT, Daemon, Tap, run  # noqa: E402
from install import Prefix  # noqa: E402

EXAMPLE = ROOT / "examples/embed.c"
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
NOBODY = "/ip4/127.0.0.1/udp/9"  # searched at by a node that only waits
NETWORK = ("uv", "sodium", "crypto", "ssl", "secp256k1")

CAPNP_PROGRAM = r"""
#include <stdio.h>
#include <ww/capnp.h>

int main(void)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    ww_msg_fini(&m);
    printf("%s\n", ww_err_text(WW_EMALFORMED));
    return 0;
}
"""

CXX_PROGRAM = r"""
#include <cstdio>
#include <cstring>
#include <ww/node.h>

struct Watcher : ww_embed_node_user {
    ww_runtime *runtime;
    unsigned addresses;
};

static void told(ww_embed_node_user *user, const char *const *, size_t count)
{
    Watcher *watcher = static_cast<Watcher *>(user);
    watcher->addresses = static_cast<unsigned>(count);
    ww_runtime_stop(watcher->runtime);
}

int main()
{
    const char *listen[] = {"/ip4/127.0.0.1/tcp/0"}, *discover[] = {"/ip4/127.0.0.1/udp/9"};
    ww_embed_node_ops ops = {};
    ops.size = sizeof ops;
    ops.addresses = told;
    ww_embed_node_options options = {};
    options.size = sizeof options;
    options.listen = listen;
    options.discover = discover;
    options.listen_count = options.discover_count = 1;
    Watcher watcher = {};
    watcher.ops = &ops;
    ww_embed_node *node;
    if (ww_runtime_new(&watcher.runtime) < 0 || ww_embed_node_new(watcher.runtime, &options, &watcher, &node, nullptr) < 0 ||
        ww_runtime_run(watcher.runtime) < 0)
        return 1;
    std::printf("%u\n", watcher.addresses);
    ww_embed_node_free(node);
    ww_runtime_free(watcher.runtime);
}
"""


def program(prefix, name, source, package, static, compiler=("cc", "-std=c11")):
    """Compiled and linked with what pkg-config says; the static one takes our own libraries as archives."""
    flags = prefix.flags(package, static)
    if static:
        flags = [str(prefix.lib / f"lib{f[2:]}.a") if f.startswith("-lww") else f for f in flags]
    else:
        flags.append(f"-Wl,-rpath,{prefix.lib}")
    out = prefix.work / name
    run([*compiler, *STRICT, source, "-o", out, *flags], timeout=60)
    return out


def meet(first, second):
    where = "/ip4/127.0.0.1/tcp/0"
    with Daemon([first, "embed-e2e", where, NOBODY], ready="address") as a:
        peer_a = a.address.split("/p2p/")[1]
        assert "peer " + peer_a in a.lines, a.lines
        with Daemon([second, "embed-e2e", where, a.address, "role == example"], ready="address") as b:
            peer_b = b.address.split("/p2p/")[1]
            said = a.expect(lambda line: line.startswith("joined "))
            assert said.split()[1] == peer_b and said.endswith(" role=example"), said
            b.expect(lambda line: line.startswith("joined " + peer_a))
            answers = []
            b.expect(lambda line: answers.append(line) or line.startswith("answers "))
            assert any(line.startswith("answer " + peer_a) for line in answers), answers
            assert answers[-1] == f"answers {len(answers) - 1}", answers
            assert b.stop(signal.SIGINT) == 0
        a.expect(lambda line: line.startswith("left " + peer_b), timeout=1.5)  # sooner than a TTL: it said farewell
        with Daemon([second, "embed-e2e", where, a.address], ready="address") as b:
            peer_b = b.address.split("/p2p/")[1]
            a.expect(lambda line: line.startswith("joined " + peer_b))
            b.kill()
        a.expect(lambda line: line.startswith("expired " + peer_b))
        assert a.stop(signal.SIGTERM) == 0


def main(build, scratch):
    tap = Tap()
    prefix = Prefix(build, scratch)
    programs = {}

    def example(static):
        programs[static] = program(prefix, f"embed-{static}", EXAMPLE, "ww", static)
        needs = run(["ldd", programs[static]])
        assert ("libww.so" in needs) != static, needs

    for static in (False, True):
        kind = "static" if static else "shared"
        tap.check(f"the example builds in strict C11 on the {kind} library", lambda: example(static))
    if len(programs) == 2:
        tap.check("two of them meet, ask, leave and vanish", lambda: meet(programs[False], programs[True]))

    def refused():
        result = subprocess.run([programs[False], "a/b", "/ip4/127.0.0.1/tcp/0"], capture_output=True, text=True, timeout=10)
        assert result.returncode == 1 and "namespace 'a/b'" in result.stderr, result
        result = subprocess.run([programs[False], "ns", "nonsense"], capture_output=True, text=True, timeout=10)
        assert result.returncode == 1 and "listen: 'nonsense' is no multiaddr" in result.stderr, result
    tap.check("a bad option is told with its name", refused)

    def cxx():
        source = prefix.work / "watcher.cc"
        source.write_text(CXX_PROGRAM)
        assert run([program(prefix, "watcher", source, "ww", False, ("c++", "-std=c++11"))]).strip() == "1"
    tap.check("a C++ program derives from the callbacks", cxx)

    def capnp_alone():
        source = prefix.work / "capnp.c"
        source.write_text(CAPNP_PROGRAM)
        for static in (False, True):
            line = prefix.flags("ww-capnp", static)
            assert "-lww-capnp" in line, line
            assert not any(flag.startswith("-l") and name in flag for flag in line for name in NETWORK), line
            out = program(prefix, f"capnp-{static}", source, "ww-capnp", static)
            assert run([out]).strip() == "malformed message"
            needs = run(["ldd", out])
            assert not any(f"lib{name}" in needs for name in NETWORK), needs
    tap.check("ww-capnp alone links without the network's libraries", capnp_alone)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
