#!/usr/bin/env python3
"""What an installation gives to others: headers that stand alone in C11 and C++, libraries that pkg-config finds and that
link into programs of their own, manual pages and completions.

usage: install.py BUILD SCRATCH   (TAP on stdout)"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from harness import ROOT, Tap, run  # noqa: E402

STRICT = ["-Wall", "-Wextra", "-Wundef", "-Werror", "-pedantic-errors", "-fsyntax-only"]

# What libww-capnp exports and no header of ww/ declares: nobody else is to use it.
FOR_UV = {"ww_assert_fail", "ww_calloc", "ww_errno_err", "ww_free", "ww_glue_addr_parse", "ww_glue_listen", "ww_glue_unlisten",
    "ww_glue_vat_new"}

MESSAGE_PROGRAM = r"""
#include <stdio.h>
#include <string.h>
#include <ww/capnp.h>
#include <ww/rpc.h>

int main(void)
{
    struct ww_rpc_vat *vat;
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    ww_msg_fini(&m);
    if (ww_rpc_vat_new(NULL, &vat) < 0)
        return 1;
    ww_rpc_vat_free(vat);
    printf("%s\n", ww_err_text(WW_EMALFORMED));
    return 0;
}
"""

LOOP_PROGRAM = r"""
#include <stdio.h>
#include <ww/rpc_uv.h>

int main(void)
{
    struct ww_rpc_uv *uv;
    uv_loop_t *loop = uv_default_loop();
    if (ww_rpc_uv_new(loop, NULL, &uv) < 0)
        return 1;
    ww_rpc_uv_close(uv, NULL, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    printf("over\n");
    return uv_loop_close(loop);
}
"""

PEER_ID_PROGRAM = r"""
#include <stdio.h>
#include "crypto/keys.h"
#include "p2p/peer_id.h"

int main(void)
{
    uint8_t seed[WW_ED25519_SEED_BYTES] = {7};
    struct ww_keypair key;
    struct ww_peer_id id;
    char text[WW_PEER_ID_TEXT_MAX];
    ww_keypair_from_seed(&key, seed);
    ww_peer_id_from_key(&key.pub, &id);
    printf("%s\n", ww_peer_id_format(&id, text));
    ww_keypair_fini(&key);
    return 0;
}
"""


SCHEMA = """@0xb05d7f21c94e83a6;
using C = import "/ww/c.capnp";
$C.prefix("my_");
struct Pair(A, B) { a @0 :A; b @1 :B; }
struct Job { name @0 :Text = "none"; pair @1 :Pair(Text, Job); }
interface Worker { run @0 (job :Job) -> (code :Int32); }
"""

SCHEMA_PROGRAM = r"""
#include <stdio.h>
#include "job.capnp.rpc.h"

int main(void)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct my_Pair_of_Text_Job_b pair = my_Job_init_pair(my_Job_b_root(&m));
    my_Pair_of_Text_Job_set_a(pair, ww_text("a"));
    my_Pair_of_Text_Job_init_b(pair);
    struct my_Pair_of_Text_Job_r r = my_Job_pair(my_Job_r_root(&m));
    printf("%s %s %s\n", ww_cstr(my_Pair_of_Text_Job_a(r)), ww_cstr(my_Job_name(my_Pair_of_Text_Job_b(r))),
        my_Worker_interface.methods[0].name);
    ww_msg_fini(&m);
    return 0;
}
"""


class Prefix:
    """The installed tree below a folder of ours, as pkg-config and the compiler see it."""

    def __init__(self, build, scratch):
        self.root = pathlib.Path(scratch) / "install"
        self.work = pathlib.Path(scratch) / "work"
        for folder in (self.root, self.work):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        run(["meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", self.root], timeout=120)
        self.pc = next(self.root.rglob("ww.pc")).parent
        self.lib = next(self.root.rglob("libww.a")).parent
        self.prefix = next(self.root.rglob("include/ww/base.h")).parents[2]
        self.env = dict(os.environ, PKG_CONFIG_PATH=str(self.pc), PKG_CONFIG_SYSROOT_DIR=str(self.root))

    def flags(self, package, static):
        out = run(["pkg-config", "--cflags", "--libs", *(["--static"] if static else []), package], env=self.env).split()
        # The sysroot is put before paths of the system's own libraries as well; those are where they always were.
        return [f for f in out if not f.startswith("-I") and not f.startswith("-L") or (pathlib.Path(f[2:])).exists()]

    def variable(self, name):
        """A path that the package names, as it lies below our folder."""
        value = run(["pkg-config", f"--variable={name}", "ww-capnp"], env=self.env).strip()
        return pathlib.Path(value if value.startswith(str(self.root)) else str(self.root) + value)

    def build_and_run(self, name, source, package, static, compiler, standard, more=()):
        suffix = ".cc" if compiler == "c++" else ".c"
        path = self.work / (name + suffix)
        path.write_text(source)
        flags = self.flags(package, static)
        if static:  # our own archives by name; everything else as the linker likes
            flags = [str(self.lib / f"lib{f[2:]}.a") if f[:2] == "-l" and f[2:].startswith("ww") else f for f in flags]
        program = self.work / name
        run([compiler, f"-std={standard}", "-Wall", "-Werror", path, *more, "-o", program, *flags], timeout=60)
        return run([program], env=dict(os.environ, LD_LIBRARY_PATH="" if static else str(self.lib)))


def has_tool(name):
    return shutil.which(name) is not None


def main(build, scratch):
    tap = Tap()
    for header in sorted((ROOT / "include/ww").glob("*.h")):
        for compiler, language, standard in [("cc", "c", "c11"), ("clang", "c", "c11"), ("c++", "c++", "c++11")]:
            name = f"ww/{header.name} alone, {compiler} {standard}"
            if not has_tool(compiler):
                tap.skip(name, f"{compiler} is not installed")
                continue
            needs = ["-D_GNU_SOURCE"] if header.name == "rpc_uv.h" else []  # libuv's own header does
            source = f'#include <ww/{header.name}>\n#include <ww/{header.name}>\nint main(void);\n'
            tap.check(name, lambda: run([compiler, f"-std={standard}", "-x", language, *STRICT, *needs, "-I", ROOT / "include", "-"],
                                        stdin=source))
    try:
        prefix = Prefix(build, scratch)
    except (RuntimeError, StopIteration, subprocess.SubprocessError) as failure:
        def failed():
            raise failure
        tap.check("meson install", failed)
        return tap.end()

    made = prefix.prefix / "include/ww/persist.capnp.rpc.h"
    for compiler, language, standard in [("cc", "c", "c11"), ("c++", "c++", "c++11")]:
        tap.check(f"ww/{made.name} alone, {compiler} {standard}", lambda: run(
            [compiler, f"-std={standard}", "-x", language, *STRICT, "-I", made.parents[1], "-"],
            stdin=f"#include <ww/{made.name}>\nint main(void);\n"))

    def links(name, source, package, static, compiler="cc", standard="c11", want=None):
        def body():
            got = prefix.build_and_run(name, source, package, static, compiler, standard)
            assert got.strip() == want, got
        tap.check(f"a program with {package}, {'static' if static else 'shared'}, {compiler} {standard}", body)

    for package in ("ww-capnp", "ww"):
        for static in (True, False):
            links(f"message-{package}-{static}", MESSAGE_PROGRAM, package, static, want="malformed message")
    links("message-cxx", MESSAGE_PROGRAM, "ww-capnp", False, "c++", "c++11", want="malformed message")
    for static in (True, False):
        links(f"loop-{static}", LOOP_PROGRAM, "ww-capnp-uv", static, "cc", "gnu11", want="over")
    for package in ("ww-p2p", "ww"):
        links(f"peer-id-{package}", PEER_ID_PROGRAM, package, True, "cc", "gnu17",
              want="12D3KooWLnZUpcaBwbz9uD1XsyyHnbXUrJRmxnsMiRnuCmvPix67")

    def schemas():
        work = prefix.work / "schema"
        work.mkdir()
        (work / "job.capnp").write_text(SCHEMA)
        run(["capnp", "compile", f"-I{prefix.variable('schemadir')}", f"-o{prefix.variable('plugin')}:{work}",
             f"--src-prefix={work}", work / "job.capnp"])
        made = ["-I", work, work / "job.capnp.c", work / "job.capnp.rpc.c"]
        got = prefix.build_and_run("job", SCHEMA_PROGRAM, "ww-capnp", False, "cc", "c11", made)
        assert got == "a none run\n", got
    if has_tool("capnp"):
        tap.check("a schema that imports /ww/c.capnp makes a program, with what pkg-config says", schemas)
    else:
        tap.skip("a schema makes a program", "capnp is not installed")

    def capnp_alone():
        needed = run(["ldd", next(prefix.lib.glob("libww-capnp.so"))])
        assert not any(other in needed for other in ("sodium", "crypto", "libuv", "pthread")), needed
    tap.check("libww-capnp needs none of the network's libraries", capnp_alone)

    def exports():
        for lib in ("libww-capnp.so", "libww-capnp-uv.so", "libww.so"):
            names = [line.split()[-1] for line in run(["nm", "-D", "--defined-only", prefix.lib / lib]).splitlines()]
            assert len(names) > (5 if "uv" in lib else 50) and all(n.split("@")[0].startswith("ww_") for n in names), sorted(names)[:20]
    tap.check("the shared libraries export ww_ names only", exports)

    def declared():
        words = set()
        for header in (prefix.prefix / "include" / "ww").rglob("*.h"):
            words |= set(re.findall(r"\bww_\w+", header.read_text()))
        names = {line.split()[-1].split("@")[0] for line in run(["nm", "-D", "--defined-only", prefix.lib / "libww-capnp.so"]).splitlines()}
        wanted = set(run(["nm", "-D", "--undefined-only", prefix.lib / "libww-capnp-uv.so"]).split())
        assert names - words == FOR_UV, sorted((names - words) ^ FOR_UV)
        assert FOR_UV <= wanted, sorted(FOR_UV - wanted)
    tap.check("libww-capnp exports what its headers declare, and the little more that libww-capnp-uv needs", declared)

    def archives():
        inside = {name: set(run(["ar", "t", prefix.lib / f"lib{name}.a"]).split()) for name in ("ww-capnp", "ww-capnp-uv")}
        assert inside["ww-capnp-uv"] and not inside["ww-capnp-uv"] & inside["ww-capnp"], sorted(inside["ww-capnp-uv"])[:20]
    tap.check("libww-capnp-uv.a holds nothing that libww-capnp.a has", archives)

    def guide():
        there, ours = prefix.prefix / "share" / "doc" / "ww-capnp", ROOT / "doc" / "capnp"
        for page in ours.iterdir():
            assert (there / page.name).read_bytes() == page.read_bytes(), page.name
    tap.check("the guide to libww-capnp is installed", guide)

    def commands():
        for name in ("ww", "ww-peer", "capnpc-ww"):
            assert os.access(prefix.prefix / "bin" / name, os.X_OK), name
    tap.check("ww, ww-peer and capnpc-ww are installed", commands)

    def manual():
        ww = prefix.prefix / "bin/ww"
        listed = [line.split()[0] for line in run([ww, "help"]).split("Commands:\n")[1].split("\n\n")[0].splitlines()]
        assert len(listed) >= 6, listed
        for page in ["capnpc-ww", "ww"] + [f"ww-{c}" for c in listed]:
            path = prefix.prefix / f"share/man/man1/{page}.1"
            text = path.read_text()
            assert text.startswith(".TH") and ".SH NAME" in text, page
            if has_tool("groff"):
                said = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", path], capture_output=True, text=True).stderr
                assert said == "", said
    tap.check("there is a manual page for ww, every command and capnpc-ww, and groff accepts each", manual)

    def bash():
        path = prefix.prefix / "share/bash-completion/completions/ww"
        script = f"source {path}; COMP_WORDS=(ww ls --wat); COMP_CWORD=2; _ww; echo \"${{COMPREPLY[@]}}\"; " \
            "COMP_WORDS=(ww sta); COMP_CWORD=1; _ww; echo \"${COMPREPLY[@]}\""
        assert run(["bash", "-c", script]).split() == ["--watch", "start"]
    tap.check("bash completes options and commands", bash)

    def zsh():
        path = prefix.prefix / "share/zsh/site-functions/_ww"
        assert path.read_text().startswith("#compdef ww")
        if has_tool("zsh"):
            run(["zsh", "-n", path])
    tap.check("zsh completion is in place", zsh)
    shutil.rmtree(prefix.root)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
