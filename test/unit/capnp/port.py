#!/usr/bin/env python3
"""port SUITES: messages on other machines. The unit suites are built for 32-bit x86 and for wasm32-wasi, with a small
stand-in for cmocka, and run there, the latter under Node. Two guests are linked for size and must stay below their limits:
one with everything that reads, builds, copies and frames messages (all of it, whatever a guest would use), on the least
allocator; and one with RPC that serves a capability, on the C library's. TAP; what cannot be built here is skipped and says
why."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
CORE_LIMIT, RPC_LIMIT = 24 << 10, 96 << 10
SUITES = sys.argv[1:]
BASE = ["src/base/base.c", "src/base/buf.c", "src/base/map.c", "src/base/prng.c", "src/base/slots.c"]
CORE = [f"src/capnp/{name}.c" for name in ("build", "canon", "copy", "frame", "msg", "orphan", "pack", "packed", "read", "wipe")]
READ_AND_BUILD = [f"src/capnp/{name}.c" for name in ("build", "copy", "frame", "msg", "read", "wipe")]
RPC = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "src/rpc").glob("*.c"))
FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", f"-I{ROOT}",
         f"-I{ROOT}/include", f"-I{ROOT}/src"]
PORT = [f"-I{ROOT}/test/lib/port"]


def wasm_flags(flags):
    return ["clang-14", "--target=wasm32-wasi", "-fno-strict-overflow", *flags]


def run(*command, timeout=300):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=timeout, cwd=ROOT)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} exit {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def works(command):
    """Whether an empty program can be linked: compiler, C library and run-time library are there."""
    if not shutil.which(command[0]):
        return False
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "a.c"
        source.write_text("int main(void) { return 0; }\n")
        return subprocess.run([*command, source, "-o", f"{folder}/a"], capture_output=True).returncode == 0


class Tap:
    def __init__(self):
        self.count = self.failed = 0

    def case(self, name, body, missing=None):
        self.count += 1
        if missing:
            print(f"ok {self.count} - {name} # SKIP {missing}: scripts/setup --all", flush=True)
            return
        try:
            note = body()
            print(f"ok {self.count} - {name}{': ' + note if note else ''}", flush=True)
        except (RuntimeError, subprocess.TimeoutExpired, OSError) as failure:
            self.failed += 1
            print(f"not ok {self.count} - {name}\n# " + str(failure).replace("\n", "\n# "), flush=True)


class Port:
    """One machine: how to compile for it, and how to run what was made."""

    def __init__(self, name, compiler, runner, folder):
        self.name, self.compiler, self.runner, self.folder = name, compiler, runner, folder
        self.objects = None

    def library(self):
        """The library's objects, made once for all suites."""
        if self.objects is None:
            objects = []
            for source in BASE + CORE + ["test/lib/alloc_fail.c"]:
                objects.append(self.folder / (self.name + source.replace("/", "_") + ".o"))
                run(*self.compiler, "-O1", *FLAGS, *PORT, "-c", source, "-o", objects[-1])
            self.objects = objects
        return self.objects

    def suite(self, name):
        program = self.folder / f"{self.name}-{name}"
        run(*self.compiler, "-O1", *FLAGS, *PORT, f"test/unit/capnp/test_{name}.c", *self.library(), "-o", program)
        said = run(*self.runner, program)
        return f"{said.count(chr(10) + 'ok ')} tests"


def size_of(folder, name, sources, exports, limit, lto=True):
    """Links a guest without a main and says how large it is."""
    out = folder / f"{name}.wasm"
    run(*wasm_flags(["-Oz", *(["-flto"] if lto else []), "-fvisibility=hidden", "-mexec-model=reactor"]), *FLAGS, *sources,
        *[f"-Wl,--export={symbol}" for symbol in exports], "-Wl,--strip-all,--gc-sections", "-o", out)
    size = out.stat().st_size
    if size > limit:
        raise RuntimeError(f"{size} bytes, over the limit of {limit}")
    return out, size


def functions_of(sources):
    """Every function there that users can call."""
    text = "\n".join((ROOT / source).read_text() for source in sources)
    header = (ROOT / "include/ww/capnp.h").read_text()
    public = set(re.findall(r"WW_API[^;{]*?\b(ww_\w+)\s*\(", header))
    return sorted(symbol for symbol in public if re.search(rf"^[^\s#/].*\b{symbol}\(", text, re.M))


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        m32 = Port("i386", ["gcc", "-m32"], [], folder)
        wasm = Port("wasm32", wasm_flags([]), ["node", "--no-warnings", "test/lib/port/run.mjs"], folder)
        no_m32 = None if works(m32.compiler) else "no 32-bit C library"
        no_wasm = None if works(wasm.compiler) else "no clang-14 with lld and WASI's C library"
        no_node = no_wasm or (None if shutil.which("node") else "no Node")
        print(f"1..{2 * len(SUITES) + 3}")
        for suite in SUITES:
            tap.case(f"{suite} on 32-bit x86", lambda: m32.suite(suite), no_m32)
        for suite in SUITES:
            tap.case(f"{suite} on wasm32", lambda: wasm.suite(suite), no_node)

        def core():
            base = BASE[:1] + CORE + ["test/lib/port/bump.c"]
            _, size = size_of(folder, "core", base, functions_of(READ_AND_BUILD), CORE_LIMIT)
            _, whole = size_of(folder, "whole", base, functions_of(CORE), 2 * CORE_LIMIT)
            return f"{size} bytes; {whole} with orphans, packing, equality and canonical form"

        def rpc(lto):
            guest, size = size_of(folder, "rpc", BASE + CORE + RPC + ["test/unit/rpc/guest.c"], [], RPC_LIMIT, lto)
            return f"{size} bytes, {run(*wasm.runner, guest, 'call').strip()}"
        tap.case("message core at -Oz -flto", core, no_wasm)
        tap.case("RPC guest at -Oz", lambda: rpc(False), no_node)
        tap.case("RPC guest at -Oz -flto", lambda: rpc(True), no_node)
    return 1 if tap.failed else 0


sys.exit(main())
