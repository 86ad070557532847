#!/usr/bin/env python3
"""Does what doc/capnp/tutorial.md says, block by block, with an installed copy and nothing else of ours.

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

PAGE = ROOT / "doc/capnp/tutorial.md"
FENCE = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.M | re.S)


def environment(root):
    pc = next(root.rglob("ww-capnp.pc")).parent
    lib = next(root.rglob("libww-capnp.so")).parent
    plugin = next(root.rglob("bin/capnpc-ww")).parent
    only = root / "pc"  # no other package is to be found
    only.mkdir(exist_ok=True)
    shutil.copy(pc / "ww-capnp.pc", only)
    return dict(os.environ, PKG_CONFIG_LIBDIR=str(only), PKG_CONFIG_SYSROOT_DIR=str(root), LD_LIBRARY_PATH=str(lib),
                PATH=f"{plugin}:{os.environ['PATH']}")


def main(build, scratch):
    tap = Tap()
    scratch = pathlib.Path(scratch)
    root, work = scratch / "install", scratch / "work"
    for folder in (root, work):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    run(["meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", root], timeout=120)
    env = environment(root)
    children = []
    blocks = FENCE.findall(PAGE.read_text())
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
        for kind, name, body, want in blocks:
            first = body.strip().splitlines()[0]
            if not tap.check(f"file {name}" if name else first, lambda k=kind, n=name, b=body, w=want: step(k, n, b, w)):
                break

        def complete():
            kinds = [kind for kind, *_ in blocks]
            assert kinds.count("c") == 4 and kinds.count("sh") >= 6 and kinds.count("capnp") == 2, kinds
            assert PAGE.read_text().count("```") == 2 * (len(blocks) + sum(bool(b[3]) for b in blocks))
            assert time.monotonic() - seconds < 600
        tap.check("no block was left out", complete)

        def alone():
            for program in ("server", "client", "message"):
                needed = {line.split()[0].split(".so")[0] for line in run(["ldd", work / program], env=env).splitlines()}
                assert needed <= {"linux-vdso", "libww-capnp", "libc", "libm", "/lib64/ld-linux-x86-64",
                                  "/lib/ld-linux-aarch64"}, needed
            flags = run(["pkg-config", "--cflags", "ww-capnp"], env=env).split()
            included = run(["cc", "-M", *flags, "-I", work, work / "server.c"], env=env)
            assert "rpc_fd.h" in included and "uv.h" not in included and "sodium" not in included
        tap.check("the programs need the C library and libww-capnp, and no other header", alone)
    finally:
        for child in children:
            os.killpg(child.pid, signal.SIGTERM)
            child.wait()
    shutil.rmtree(root)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
