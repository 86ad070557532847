#!/usr/bin/env python3
"""Whole sets of schemas: our own, and those that libcapnp-dev, go-capnp and the capnp crates bring. Each set is made into C,
which compiles without a warning under gcc and clang; its headers do so under g++ and clang++, and its objects link.

usage: corpus.py CAPNP PLUGIN LIBRARY SCRATCH [FOLDER...]   (TAP on stdout)

LIBRARY is what generated code links with. With PLUGIN_ONLY in the environment nothing is compiled: what a sanitized plugin
makes is no other C. A FOLDER is one more set, to be tried by hand. Sets whose package manager or package is not there are
skipped."""
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lib"))
from harness import ROOT, Tap, run  # noqa: E402

CAPNP, PLUGIN, LIBRARY = sys.argv[1], *(os.path.abspath(path) for path in sys.argv[2:4])
SCRATCH = pathlib.Path(sys.argv[4])
LOUD = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
C_COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]
CXX_COMPILERS = [[c, f"-std={std}"] for c in ("g++", "clang++") for std in ("c++11", "c++17") if shutil.which(c)]


class Set:
    """The schemas of a folder. `imports` are folders that absolute imports are searched in, `beside` sets with their C."""

    def __init__(self, name, folder, imports=(), beside=(), deep=True):
        self.name, self.folder, self.out = name, pathlib.Path(folder), SCRATCH / name.replace("/", "-")
        self.imports = [pathlib.Path(i) for i in imports]
        self.beside = [b.out for b in beside]
        self.schemas = sorted(self.folder.rglob("*.capnp") if deep else self.folder.glob("*.capnp"))

    def compile(self, out, cwd, plugin=PLUGIN):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        flags = [f"--import-path={p}" for p in self.imports]
        for schema in self.schemas:  # one by one: in some sets two files have one id
            result = subprocess.run([CAPNP, "compile", *flags, f"-o{plugin}:{out}", f"--src-prefix={self.folder}", schema],
                                    capture_output=True, text=True, cwd=cwd, env=dict(os.environ, PWD=str(cwd)), timeout=60)
            assert result.returncode == 0, result.stderr[-3000:]

    def include_flags(self):
        """Own output first; /capnp/c++.capnp and its like are found in there, made with the set or beside it."""
        folders = [self.out, *self.beside, SCRATCH / "standard", ROOT / "include"]
        return [flag for folder in folders for flag in ("-I", folder)]

    def c_files(self):
        return sorted(self.out.rglob("*.capnp.c")) + sorted(self.out.rglob("*.capnp.rpc.c"))

    def headers(self):
        return sorted(self.out.rglob("*.capnp.h")) + sorted(self.out.rglob("*.capnp.rpc.h"))


def quiet(command):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, f"{' '.join(map(str, command))}\n{result.stderr[-3000:]}"


def all_of(jobs):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(quiet, job) for job in jobs]:
            done.result()


def compile_c(schemas, compiler):
    command = [compiler, "-std=c11", *LOUD, *schemas.include_flags()]
    sources = schemas.c_files()
    if compiler == "gcc":
        all_of([[*command, "-ffunction-sections", "-fdata-sections", "-c", "-o", s.with_suffix(".o"), s] for s in sources])
    else:
        all_of([[*command, "-fsyntax-only", *some] for some in (sources[::2], sources[1::2]) if some])


def include_all(schemas, compiler):
    """One unit that includes every header of the set twice, in both orders: they stand beside each other."""
    names = [h.relative_to(schemas.out) for h in schemas.headers()]
    text = "".join(f'#include "{n}"\n' for n in names + names[::-1])
    units = [schemas.out / "all.cc", schemas.out / "all-backward.cc"]
    units[0].write_text(text)
    units[1].write_text("".join(f'#include "{n}"\n' for n in names[::-1]))
    language = "c++" if compiler in CXX_COMPILERS else "c"
    # What the order brings to light, it brings to light in C.
    all_of([[*compiler, *LOUD, *schemas.include_flags(), "-fsyntax-only", "-x", language, f]
            for f in (units if language == "c" else units[:1])])


def link(schemas):
    """Every object of the set, whole, in one program: names are there once, and each has a definition."""
    main = schemas.out / "main.c"
    main.write_text("int main(void)\n{\n    return 0;\n}\n")
    objects = sorted(schemas.out.rglob("*.o"))
    quiet(["gcc", "-o", schemas.out / "whole", main, *objects, LIBRARY, "-lm"])
    run([schemas.out / "whole"])
    quiet(["gcc", "-Wl,--gc-sections", "-o", schemas.out / "bare", main, *objects, LIBRARY, "-lm"])
    names = run(["nm", schemas.out / "bare"])
    assert not re.search(r"(_node|_interface|words_[0-9a-f]{16})$", names, re.M), names[:2000]


def standard():
    """Output for /capnp/*.capnp, for sets that import it."""
    made = Set("standard", "/usr/include/capnp")
    made.out = SCRATCH / "standard" / "capnp"
    made.compile(made.out, "/")


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def same_twice(schemas):
    """Whatever the working directory, and with and without absolute paths."""
    first = tree(schemas.out)
    again = SCRATCH / (schemas.name + "-again")
    schemas.compile(again, "/tmp")
    second = tree(again)
    shutil.rmtree(again)
    assert first.keys() == second.keys() and all(first[k] == second[k] for k in first), [
        k for k in first if first[k] != second.get(k)]


def check(tap, schemas):
    if not tap.check(f"{schemas.name}: {len(schemas.schemas)} schemas make C", lambda: schemas.compile(schemas.out, "/")):
        return
    tap.check(f"{schemas.name}: two runs are equal", lambda: same_twice(schemas))
    if os.environ.get("PLUGIN_ONLY"):
        return
    for compiler in C_COMPILERS:
        tap.check(f"{schemas.name}: compiles with {compiler}", lambda: compile_c(schemas, compiler))
    for compiler in [["gcc", "-std=c11"], *CXX_COMPILERS]:
        tap.check(f"{schemas.name}: headers compile with {' '.join(compiler)}", lambda: include_all(schemas, compiler))
    tap.check(f"{schemas.name}: links, and what is unused is dropped", lambda: link(schemas))


def go_sets():
    if not shutil.which("go"):
        return [], "go is not installed"
    found = subprocess.run(["go", "list", "-m", "-f", "{{.Dir}}", "capnproto.org/go/capnp/v3"], capture_output=True, text=True,
                           cwd=ROOT / "test/interop/go", timeout=60)
    folder = found.stdout.strip()
    if not folder or not os.path.isdir(folder):
        return [], "go-capnp is not in the module cache (cd test/interop/go && go mod download)"
    root = pathlib.Path(folder)
    std = Set("go-capnp/std", root / "std", [root / "std"])
    folders = sorted({p.parent for p in root.rglob("*.capnp") if root / "std" not in p.parents})
    return [std] + [Set(f"go-capnp/{f.relative_to(root)}", f, [root / "std"], [std], deep=False) for f in folders], None


def crates():
    if not shutil.which("cargo"):
        return [], "cargo is not installed"
    found = subprocess.run(["cargo", "metadata", "--offline", "--locked", "--format-version=1"], capture_output=True, text=True,
                           cwd=ROOT / "test/interop/rust", timeout=60)
    if found.returncode != 0:
        return [], "the capnp crates are not in cargo's cache (cd test/interop/rust && cargo fetch --locked)"
    folders = {p["name"]: pathlib.Path(p["manifest_path"]).parent for p in json.loads(found.stdout)["packages"]}
    return [Set(name, folders[name]) for name in ("capnp", "capnpc", "capnp-rpc")], None


def main():
    tap = Tap()
    shutil.rmtree(SCRATCH, ignore_errors=True)
    standard()
    if len(sys.argv) > 5:
        for folder in sys.argv[5:]:
            check(tap, Set(pathlib.Path(folder).name, folder, [folder]))
        return tap.end()
    check(tap, Set("house", ROOT / "schema", [ROOT / "schema"]))
    check(tap, Set("tests", ROOT / "test/unit/capnp", [ROOT / "schema"], deep=False))
    check(tap, Set("libcapnp-dev", "/usr/include/capnp", ["/usr/include"]))
    for name, find in ("go-capnp", go_sets), ("the capnp crates", crates):
        sets, why = find()
        for schemas in sets:
            check(tap, schemas)
        if not sets:
            tap.skip(name, why)
    shutil.rmtree(SCRATCH)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
