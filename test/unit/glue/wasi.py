#!/usr/bin/env python3
"""wasi HOST_PROGRAM SCRATCH: guests of ww/rpc_wasi.h under Node, called by a native program. One guest has the loop (standard
input and output), one has its host's (exported functions). TAP; what cannot be built here is skipped and says why."""
import concurrent.futures
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
SIZE_LIMIT = 128 << 10  # RPC, glue, and the C library's allocator
SOURCES = [*(f"src/base/{name}.c" for name in ("base", "buf", "errno", "map", "prng", "slots")),
           *(f"src/capnp/{p.name}" for p in (ROOT / "src/capnp").glob("*.c") if not p.name.startswith(("schema", "dyn", "text", "json"))),
           *(f"src/rpc/{p.name}" for p in (ROOT / "src/rpc").glob("*.c")), "src/glue/wasi.c"]
CLANG = ["clang-14", "--target=wasm32-wasi"]
GUEST = "test/unit/glue/guest.c"
FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-Oz", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter",
         f"-I{ROOT}", f"-I{ROOT}/include", f"-I{ROOT}/src"]


def missing(scratch):
    """What is not here, or None."""
    if not shutil.which("node"):
        return "no Node"
    source = scratch / "a.c"
    source.write_text("int main(void) { return 0; }\n")
    built = shutil.which(CLANG[0]) and subprocess.run([*CLANG, source, "-o", scratch / "a"], capture_output=True).returncode == 0
    return None if built else "no clang-14 with lld and WASI's C library"


def clang(*arguments):
    done = subprocess.run([*CLANG, *FLAGS, *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-3000:])


def library(scratch):
    """The objects that both guests are linked with."""
    objects = [scratch / (source.replace("/", "_") + ".o") for source in SOURCES]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda pair: clang("-c", pair[0], "-o", pair[1]), zip(SOURCES, objects)))
    return objects


def build(out, objects, flags):
    clang(*flags, GUEST, *objects, "-Wl,--strip-all,--gc-sections", "-o", out)
    return out


def main(program):
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        why = missing(scratch)
        cases = {"a guest over standard input and output": ("stdio", []),
                 "a guest that is pushed and pulled": ("push", ["-DREACTOR", "-mexec-model=reactor"])}
        print(f"1..{len(cases)}")
        failed, objects = 0, None
        for number, (case, (mode, flags)) in enumerate(cases.items(), 1):
            if why:
                print(f"ok {number} - {case} # SKIP {why}: scripts/setup --all", flush=True)
                continue
            try:
                objects = objects or library(scratch)
                guest = build(scratch / f"{mode}.wasm", objects, flags)
                size = guest.stat().st_size
                assert size <= SIZE_LIMIT, f"{size} bytes, over the limit of {SIZE_LIMIT}"
                done = subprocess.run([program, "node", "--no-warnings", ROOT / "test/unit/glue/guest.mjs", mode, guest],
                                      capture_output=True, text=True, timeout=100)
                assert done.returncode == 0, done.stdout + done.stderr
                print(f"ok {number} - {case}: {size} bytes", flush=True)
            except (RuntimeError, AssertionError, subprocess.TimeoutExpired) as fault:
                failed += 1
                print(f"not ok {number} - {case}\n# " + str(fault).replace("\n", "\n# "), flush=True)
    return 1 if failed else 0


sys.exit(main(sys.argv[1]))
