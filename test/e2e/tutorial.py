#!/usr/bin/env python3
"""Does what doc/capnp/tutorial.md and persist.md say, block by block, with an installed copy and nothing else of ours.

A fence "LANGUAGE file=NAME" is written to that file, "sh" is run, and a "text" right behind it is what must come out.

usage: tutorial.py BUILD SCRATCH   (TAP on stdout)"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from harness import ROOT, Tap, run  # noqa: E402

PAGES = {"tutorial": {"c": 4, "sh": 6, "capnp": 2, "programs": ["server", "client", "message"]},
         "persist": {"c": 2, "sh": 2, "capnp": 1, "programs": ["visit"]}}  # how many blocks there are; sh: at least
FENCE = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.M | re.S)


def environment(root):
    """The installed copy as if it lay where it was made for."""
    pc = next(root.rglob("ww-capnp.pc"))
    lib = next(root.rglob("libww-capnp.so")).parent
    plugin = next(root.rglob("bin/capnpc-ww")).parent
    only = root / "pc"  # no other package is to be found
    only.mkdir(exist_ok=True)
    (only / "ww-capnp.pc").write_text(re.sub(r"^prefix=", f"prefix={root}", pc.read_text(), flags=re.M))
    return dict(os.environ, PKG_CONFIG_LIBDIR=str(only), LD_LIBRARY_PATH=str(lib), PATH=f"{plugin}:{os.environ['PATH']}")


def page(tap, title, want, env, work):
    work.mkdir(parents=True)
    text = (ROOT / f"doc/capnp/{title}.md").read_text()
    blocks = FENCE.findall(text)
    children = []
    seconds = time.monotonic()

    def step(kind, name, body, want):
        if name:
            (work / name).write_text(body)
            return
        assert kind == "sh", f"a block of kind {kind!r} is neither a file nor a command"
        if body.rstrip().endswith("&"):
            children.append(subprocess.Popen(["bash", "-ec", body.rstrip()[:-1]], cwd=work, env=env, start_new_session=True))
            end = time.monotonic() + 60
            while not list(work.glob("*.sock")):
                assert children[-1].poll() is None and time.monotonic() < end, "the server did not start"
                time.sleep(0.05)
            return
        result = subprocess.run(["bash", "-ec", body], cwd=work, env=env, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result
        assert not result.stderr, result.stderr
        assert not want or result.stdout == want, f"said:\n{result.stdout}\nnot:\n{want}"

    try:
        for kind, name, body, shown in blocks:
            first = body.strip().splitlines()[0]
            if not tap.check(f"{title}: file {name}" if name else f"{title}: {first}",
                             lambda k=kind, n=name, b=body, w=shown: step(k, n, b, w)):
                break

        def complete():
            kinds = [kind for kind, *_ in blocks]
            assert all(kinds.count(k) == want[k] for k in ("c", "capnp")) and kinds.count("sh") >= want["sh"], kinds
            assert text.count("```") == 2 * (len(blocks) + sum(bool(b[3]) for b in blocks))
            assert time.monotonic() - seconds < 600
        tap.check(f"{title}: no block was left out", complete)

        def alone():
            for program in want["programs"]:
                needed = {line.split()[0].split(".so")[0] for line in run(["ldd", work / program], env=env).splitlines()}
                assert needed <= {"linux-vdso", "libww-capnp", "libc", "libm", "/lib64/ld-linux-x86-64",
                                  "/lib/ld-linux-aarch64"}, needed
            flags = run(["pkg-config", "--cflags", "ww-capnp"], env=env).split()
            included = run(["cc", "-M", *flags, "-I", work, work / f"{want['programs'][0]}.c"], env=env)
            assert "rpc_fd.h" in included and "uv.h" not in included and "sodium" not in included
        tap.check(f"{title}: the programs need the C library and libww-capnp, and no other header", alone)
    finally:
        for child in children:
            os.killpg(child.pid, signal.SIGTERM)
            child.wait()


def main(build, scratch):
    tap = Tap()
    scratch = pathlib.Path(scratch)
    root, work = scratch / "install", scratch / "work"
    for folder in (root, work):
        shutil.rmtree(folder, ignore_errors=True)
    root.mkdir(parents=True)
    run(["meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", root], timeout=120)
    env = environment(root)
    for title, want in PAGES.items():
        page(tap, title, want, env, work / title)
    shutil.rmtree(root)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
