#!/usr/bin/env python3
"""What generated code is held to beside doing the right thing: mistakes do not compile, a getter is a load, what is unused is
not linked, and the plugin touches nothing without need and says what is wrong.

usage: quality.py CAPNP PLUGIN LIBRARY SCRATCH   (TAP on stdout)"""
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lib"))
from harness import ROOT, Tap, run  # noqa: E402

CAPNP, PLUGIN, LIBRARY = sys.argv[1], *(os.path.abspath(path) for path in sys.argv[2:4])
SCRATCH = pathlib.Path(sys.argv[4])
HERE = pathlib.Path(__file__).resolve().parent
COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", ROOT / "include"]


def say(command, **more):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=60, **more)


def make(out, *schemas, folder=HERE, more=()):
    out.mkdir(parents=True, exist_ok=True)
    flags = [f"-I{ROOT / 'schema'}", f"-o{PLUGIN}:{out}", f"--src-prefix={folder}", *more]
    return say([CAPNP, "compile", *flags, *(folder / s for s in schemas)])


def make_text(name, text):
    """C of a schema that is written here, below SCRATCH/name."""
    folder = SCRATCH / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.capnp").write_text(text)
    return make(folder, f"{name}.capnp", folder=folder), folder


PRELUDE = '#include "generics.capnp.rpc.h"\n#include "kitchen.capnp.h"\n'
GOOD = """
uint32_t probe(struct generics_User_r r, struct generics_User_b b, struct kitchen_Shape_r s);
uint32_t probe(struct generics_User_r r, struct generics_User_b b, struct kitchen_Shape_r s)
{
    %s
}
"""
LINES = [  # name, what compiles, what does not
    ("a field", "return generics_Map_of_Text_Person_size(generics_User_map(r));",
     "return generics_Map_of_Text_Person_sizes(generics_User_map(r));"),
    ("a value of another brand", "generics_User_set_map(b, generics_User_map(r)); return 0;",
     "generics_User_set_map(b, generics_User_nested(r)); return 0;"),
    ("the unbound form for a brand", "generics_User_set_unbound(b, generics_User_unbound(r)); return 0;",
     "generics_User_set_map(b, generics_User_unbound(r)); return 0;"),
    ("an argument's type", "generics_Map_of_Text_Person_set_extra(generics_User_init_map(b), "
     "generics_Map_of_Text_Person_extra(generics_User_map(r))); return 0;",
     "generics_Map_of_Text_Person_set_extra(generics_User_init_map(b), ww_text(\"x\")); return 0;"),
    ("a reader for a builder", "return generics_Person_age(generics_Map_of_Text_Person_extra(generics_User_map(r)));",
     "generics_Person_set_age(generics_Map_of_Text_Person_extra(generics_User_map(r)), 1); return 0;"),
    ("a member of a union that there is not", "return kitchen_Shape_which(s) == kitchen_Shape_which_circle;",
     "return kitchen_Shape_which(s) == kitchen_Shape_which_cirkle;"),
    ("parameters of another brand of interface",
     "struct ww_rpc_request *q; struct generics_Store_get_params_of_Person_b p; (void)r; (void)s; (void)b;"
     "return generics_Store_of_Person_get_request(NULL, &q, &p) < 0;",
     "struct ww_rpc_request *q; struct generics_Store_get_params_of_Text_b p; (void)r; (void)s; (void)b;"
     "return generics_Store_of_Person_get_request(NULL, &q, &p) < 0;"),
    ("a union's switch that forgets a member",
     "switch (kitchen_Shape_which(s)) { case kitchen_Shape_which_circle: case kitchen_Shape_which_square:"
     "case kitchen_Shape_which_none: case kitchen_Shape_which_label: case kitchen_Shape_which_polygon:"
     "case kitchen_Shape_which_box: return 1; } return 0;",
     "switch (kitchen_Shape_which(s)) { case kitchen_Shape_which_circle: case kitchen_Shape_which_square:"
     "case kitchen_Shape_which_none: case kitchen_Shape_which_label: case kitchen_Shape_which_polygon: return 1; } return 0;"),
]


def compile_line(compiler, made, line):
    used = "(void)r; (void)b; (void)s; " if not line.startswith("struct ww_rpc_request") else ""
    source = PRELUDE + GOOD % (used + line)
    flags = [*STRICT, "-Wswitch-enum", "-I", made]
    return say([compiler, *flags, "-fsyntax-only", "-x", "c", "-"], input=source)


def mistakes(tap, made):
    for name, good, bad in LINES:
        def body(good=good, bad=bad):
            for compiler in COMPILERS:
                right, wrong = compile_line(compiler, made, good), compile_line(compiler, made, bad)
                assert right.returncode == 0, right.stderr
                assert wrong.returncode != 0 and "error" in wrong.stderr, f"{compiler} takes {bad}"
        tap.check(f"does not compile: {name}", body)


GETTERS = {  # function: most instructions, of x86-64 and aarch64
    "return kitchen_Scalars_u32(r);": 8, "return (uint32_t)kitchen_Scalars_i64(r);": 8, "return kitchen_Scalars_flag(r);": 12,
    "return (uint32_t)kitchen_Scalars_i16(r);": 8, "return kitchen_Scalars_u8(r);": 8,
}


def getters_are_loads(made):
    functions = "".join(f"uint32_t probe{i}(struct kitchen_Scalars_r r);\nuint32_t probe{i}(struct kitchen_Scalars_r r)\n"
                        f"{{\n    {line}\n}}\n" for i, line in enumerate(GETTERS))
    for compiler in COMPILERS:
        obj = SCRATCH / "getters.o"
        result = say([compiler, *STRICT, "-O2", "-fcf-protection=none", "-I", made, "-c", "-x", "c", "-", "-o", obj],
                     input=PRELUDE + functions)
        assert result.returncode == 0, result.stderr
        listing = run(["objdump", "-d", "--no-show-raw-insn", obj])
        for i, most in enumerate(GETTERS.values()):
            body = re.search(rf"<probe{i}>:\n(.*?)(?:\n\n|\Z)", listing, re.S)[1]
            code = [line.split(":", 1)[1].strip() for line in body.splitlines()]
            code = [c for c in code if c and not re.match(r"(nop|xchg\s+%ax,%ax|data16|cs nop)", c)]
            assert len(code) <= most and not any(re.match(r"(call|bl)\b", c) for c in code), f"{compiler}\n{body}"


def kept_symbols(made, line):
    """The names of the embedded schemas that a program of one line keeps."""
    source = '#include "kitchen.capnp.h"\nint main(int argc, char **argv)\n{\n    (void)argv;\n    ' + line + "\n}\n"
    objects = []
    for name in "kitchen", "kitchen-other":
        objects.append(SCRATCH / f"{name}.o")
        run(["gcc", *STRICT, "-O1", "-ffunction-sections", "-fdata-sections", "-I", made, "-c", made / f"{name}.capnp.c",
             "-o", objects[-1]])
    result = say(["gcc", *STRICT, "-I", made, "-Wl,--gc-sections", "-o", SCRATCH / "kept", "-x", "c", "-", "-x", "none",
                  *objects, LIBRARY], input=source)
    assert result.returncode == 0, result.stderr
    return set(re.findall(r"\b(\w+_node|node_[0-9a-f]{16})$", run(["nm", SCRATCH / "kept"]), re.M))


def unused_schemas_vanish(made):
    assert kept_symbols(made, "return argc;") == set()
    kept = kept_symbols(made, "return (int)kitchen_Shape_node.id + argc;")
    assert kept == {"kitchen_Shape_node", "kitchen_Shape_box_node", "kitchen_Shape_box_inner_node", "kitchen_Shape_tail_node",
                    "kitchen_Point_node"}, kept


def touches_only_changes():
    first, folder = make_text("touch", "@0x9c5d2f3a81b7e611; struct A { x @0 :Int8; } const c :Int8 = 1;")
    assert first.returncode == 0, first.stderr
    names = ["touch.capnp.h", "touch.capnp.c"]
    for name in names:
        os.utime(folder / name, (1, 1))
    make_text("touch", "@0x9c5d2f3a81b7e611; struct A { x @0 :Int8; } const c :Int8 = 1; # a comment")
    assert all((folder / name).stat().st_mtime == 1 for name in names)
    make_text("touch", "@0x9c5d2f3a81b7e611; struct A { x @0 :Int8 = 4; } const c :Int8 = 1;")
    assert all((folder / name).stat().st_mtime > 1 for name in names)


def same_elsewhere(made):
    """The same C, in whatever folder the schemas lie, and whether they are made together or one by one."""
    folder, out = SCRATCH / "else where", SCRATCH / "moved"
    folder.mkdir()
    names = [p.name[:-2] for p in sorted(made.glob("*.capnp.h"))]
    for name in names:
        shutil.copy(HERE / name, folder)
    for name in names:
        result = make(out, name, folder=folder)
        assert result.returncode == 0, result.stderr
    made_files = sorted(p.name for p in made.iterdir())
    assert len(names) == 4 and made_files == sorted(p.name for p in out.iterdir())
    assert [n for n in made_files if (made / n).read_bytes() != (out / n).read_bytes()] == []


def refuses(name, text, want):
    def body():
        result, folder = make_text(name, text)
        assert result.returncode != 0 and want in result.stderr, result.stderr
        assert not (folder / f"{name}.capnp.h").exists()
    return body


def by_hand():
    """Without the compiler: help, version, and what is wrong in a line."""
    assert "usage:" in run([PLUGIN, "--help"]) and run([PLUGIN, "--version"]).startswith("capnpc-ww ")
    for junk in b"", b"junk", b"\0" * 8, b"\xff" * 64, bytes(range(256)) * 20:
        result = subprocess.run([PLUGIN], input=junk, capture_output=True, timeout=20, cwd=SCRATCH)
        assert result.returncode == 1 and result.stderr.startswith(b"capnpc-ww: ") and result.stderr.count(b"\n") == 1, result
    request = subprocess.run([CAPNP, "compile", f"-I{ROOT / 'schema'}", "-o-", HERE / "kitchen.capnp"], capture_output=True).stdout
    for bad in b'ci"cle', b"cir le", b"1ircle":
        assert request.count(b"circle\0") == 1
        result = subprocess.run([PLUGIN], input=request.replace(b"circle\0", bad + b"\0"), capture_output=True, timeout=20,
                                cwd=SCRATCH)
        assert result.returncode == 1 and b"is no name in C" in result.stderr, result
    for cut in range(8, len(request), 997):
        result = subprocess.run([PLUGIN], input=request[:cut], capture_output=True, timeout=20, cwd=SCRATCH)
        assert result.returncode == 1 and result.stderr.startswith(b"capnpc-ww: "), (cut, result)


def full_disk():
    """Half a file would look newer than its schema to make: it goes."""
    out = SCRATCH / "full"
    out.mkdir()
    request = subprocess.run([CAPNP, "compile", f"-I{ROOT / 'schema'}", "-o-", HERE / "kitchen.capnp"], capture_output=True).stdout

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
    result = subprocess.run([PLUGIN], input=request, capture_output=True, timeout=20, cwd=out, preexec_fn=small_files)
    assert result.returncode == 1 and b"kitchen.capnp.h: File too large" in result.stderr, result
    assert [p for p in out.rglob("*") if p.stat().st_size == 10000] == []


def aliases():
    """A type of a third file, reached by a name of the second: its header is included all the same."""
    folder = SCRATCH / "alias"
    folder.mkdir()
    (folder / "third.capnp").write_text("@0x9c5d2f3a81b7e621; struct T { x @0 :Int8; } struct G(A) { a @0 :A; }")
    (folder / "second.capnp").write_text(
        '@0x9c5d2f3a81b7e622; using Third = import "third.capnp"; using U = Third.T; struct H(B) { g @0 :Third.G(B); }')
    (folder / "first.capnp").write_text(
        '@0x9c5d2f3a81b7e623; using S = import "second.capnp"; struct F { u @0 :S.U; h @1 :S.H(S.U); f @2 :S.H(F); }')
    names = ["first", "second", "third"]
    result = make(folder, *(f"{n}.capnp" for n in names), folder=folder)
    assert result.returncode == 0, result.stderr
    for order in names, names[::-1]:
        source = "".join(f'#include "{n}.capnp.h"\n' for n in order) + (
            "int8_t probe(struct first_F_r f);\nint8_t probe(struct first_F_r f)\n{\n"
            "    return third_T_x(third_G_of_T_a(second_H_of_third_T_g(first_F_h(f))));\n}\n")
        for compiler in COMPILERS:
            said = say([compiler, *STRICT, "-I", folder, "-fsyntax-only", "-x", "c", "-"], input=source)
            assert said.returncode == 0, said.stderr


def empty_prefix():
    result, folder = make_text("bare", '''@0x9c5d2f3a81b7e631; using C = import "/ww/c.capnp"; $C.prefix("");
const errno :Int32 = 1; const int :Int8 = 2; struct EOF { x @0 :Int8; } enum NULL { a @0; } struct I { n @0 :NULL; }
interface Linux { unix @0 () -> (stdin :EOF); }''')
    assert result.returncode == 0, result.stderr
    source = "#include <errno.h>\n#include <stdio.h>\n#include <complex.h>\n" + '#include "bare.capnp.rpc.h"\n' + (
        "int probe(struct EOF__r r);\nint probe(struct EOF__r r)\n{\n    errno = 0;\n    return errno_ + int_ + EOF__x(r);\n}\n")
    for compiler in COMPILERS:
        said = say([compiler, *STRICT, "-std=gnu11", "-I", folder, "-fsyntax-only", "-x", "c", "-"], input=source)
        assert said.returncode == 0, said.stderr


def foreign_header():
    """C++ headers have the same names: one found in the place of ours is named as the mistake."""
    folder = SCRATCH / "foreign"
    (folder / "cxx").mkdir(parents=True)
    (folder / "base.capnp").write_text("@0x9c5d2f3a81b7e651; struct T { x @0 :Int8; }")
    (folder / "user.capnp").write_text('@0x9c5d2f3a81b7e652; using B = import "base.capnp"; struct F { t @0 :B.T; }')
    (folder / "cxx" / "base.capnp.h").write_text("struct base_T_r { int other; };\n")
    assert make(folder / "out", "user.capnp", folder=folder).returncode == 0
    for compiler in COMPILERS:
        line = [compiler, *STRICT, "-I", folder / "out", "-fsyntax-only", folder / "out" / "user.capnp.c"]
        said = say([*line, "-I", folder / "cxx"])
        assert said.returncode != 0 and "base.capnp.h is not what capnpc-ww makes of base.capnp" in said.stderr, said.stderr
        assert make(folder / "made", "base.capnp", folder=folder).returncode == 0
        said = say([*line, "-I", folder / "made", "-I", folder / "cxx"])
        assert said.returncode == 0, said.stderr


def collisions():
    """Members and constants whose names meet those of what is made of their own or another member."""
    result, folder = make_text("meet", '''@0x9c5d2f3a81b7e671;
const minusZero :Float64 = -0.0; const whole :Float32 = 5;
struct A {
    const r :Int8 = 1; const b :Int8 = 2; const l :Text = "l"; const lb :List(Int8) = [1];
    switch @0 :A; which @1 :A; reader @2 :A;
    get :group { union { x @3 :Int32; y @4 :Text; } }
    set :group { union { x @5 :Int32; switch @6 :Text; } }
    has :group { which @7 :Int32; }
}
struct G(T) { switch @0 :T; get :group { union { x @1 :T; y @2 :Text; } } }
struct U { g @0 :G(Text); }
interface I {
    const server :Int8 = 3; const ops :Int8 = 4; const methods :Text = "m"; const extends :Int8 = 5;
    const dispatch :Text = "d"; const drop :Int8 = 6;
    go @0 (server :Int8) -> (ops :Int8);
}
''')
    assert result.returncode == 0, result.stderr
    source = '#include "meet.capnp.rpc.h"\n#include <math.h>\n' + '''
int main(void)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    struct meet_A_b a = meet_A_b_root(&m);
    meet_A_get_set_y(meet_A_get_get(a), ww_text("y"));
    meet_A_set_set_switch(meet_A_get_set(a), ww_text("s"));
    bool good = meet_A_get_which_(meet_A_get(meet_A_b_reader(a))) == meet_A_get_which_y;
    good = good && meet_A_set_which_(meet_A_set(meet_A_b_reader(a))) == meet_A_set_which_switch;
    struct meet_G_of_Text_b g = meet_U_init_g(meet_U_b_root(&m));
    meet_G_get_of_Text_set_x(meet_G_of_Text_get_get(g), ww_text("x"));
    good = good && meet_G_get_of_Text_which(meet_G_of_Text_get(meet_G_of_Text_b_reader(g))) == meet_G_get_which_x;
    good = good && signbit(meet_minusZero) && meet_whole == 5 && meet_A_r_ + meet_A_b_ == 3 && meet_A_l_().len == 1;
    good = good && meet_I_server_ + meet_I_ops_ + meet_I_extends_ + meet_I_drop_ == 18;
    good = good && meet_I_methods_().len == 1 && meet_I_interface.methods->params_data_words == 1;
    ww_msg_fini(&m);
    return !good;
}
'''
    for compiler in COMPILERS:
        said = say([compiler, *STRICT, "-I", folder, "-c", folder / "meet.capnp.rpc.c", "-o", folder / "rpc.o"])
        assert said.returncode == 0, said.stderr
        if os.environ.get("PLUGIN_ONLY"):  # a library with sanitizers, which not every compiler here can link
            link = ["-fsyntax-only", "-x", "c", "-"]
        else:
            link = ["-o", folder / "meet", "-x", "c", "-", folder / "meet.capnp.c", "-x", "none", LIBRARY]
        said = say([compiler, *STRICT, "-I", folder, *link], input=source)
        assert said.returncode == 0, said.stderr
        if "-o" in link:
            run([folder / "meet"])


def partly_bound():
    """Generics in generics, of which some parameters are bound: which ones shows in the name."""
    result, folder = make_text("partly", '''@0x9c5d2f3a81b7e672;
struct Outer(T) {
    struct Mid(U) { t @0 :T; u @1 :U; g :group { v @2 :U; } other @3 :Outer(U).Mid(T); }
    interface In(V) { call @0 [X] (t :T, x :X) -> (v :V); }
    m @0 :Mid(Data); i @1 :In(Text);
}
struct Use { a @0 :Outer(Data).Mid(Text); j @1 :Outer(Text).In(Data); }
''')
    assert result.returncode == 0, result.stderr
    source = '#include "partly.capnp.rpc.h"\n' + '''
struct ww_bytes probe(struct partly_Outer_r r);
struct ww_bytes probe(struct partly_Outer_r r)
{
    struct partly_Outer_Mid_of_AnyPointer_Data_r inner = partly_Outer_m(r);
    struct partly_Outer_Mid_g_of_AnyPointer_Data_r g = partly_Outer_Mid_of_AnyPointer_Data_g(inner);
    struct partly_Outer_Mid_of_Data_AnyPointer_r outer = partly_Outer_Mid_of_AnyPointer_Data_other(inner);
    struct partly_Outer_In_call_params_of_Text_Data_r params = {outer.s};
    partly_Outer_In_of_Text_Data_call_params(NULL);
    partly_Outer_In_of_AnyPointer_Text_call_results(NULL);
    partly_Outer_In_call_params_of_Text_Data_t(params);
    partly_Outer_Mid_g_of_AnyPointer_Data_v(g);
    return partly_Outer_Mid_of_Data_AnyPointer_t(outer);
}
'''
    for compiler in COMPILERS:
        said = say([compiler, *STRICT, "-I", folder, "-fsyntax-only", "-x", "c", "-"], input=source)
        assert said.returncode == 0, said.stderr


def two_files_of_one_stem():
    """Their types have the same names in C: the header that needs both cannot be, and the plugin says why."""
    folder = SCRATCH / "stem"
    for name, text in {
            "a/same.capnp": "@0x9c5d2f3a81b7e661; struct T { x @0 :Int8; }",
            "b/same.capnp": "@0x9c5d2f3a81b7e662; struct T { x @0 :Int8; }",
            "both.capnp": '@0x9c5d2f3a81b7e663; using A = import "a/same.capnp"; using B = import "b/same.capnp"; '
                          "struct U { a @0 :A.T; b @1 :B.T; }"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    assert make(folder, "a/same.capnp", "b/same.capnp", folder=folder).returncode == 0  # each for itself is good
    result = make(folder, "both.capnp", folder=folder)
    assert result.returncode != 0 and "same_T is in two files" in result.stderr, result.stderr
    assert not (folder / "both.capnp.h").exists()


def main():
    tap = Tap()
    shutil.rmtree(SCRATCH, ignore_errors=True)
    made = SCRATCH / "made"
    result = make(made, "kitchen.capnp", "kitchen-other.capnp", "generics.capnp", "defaults.capnp")
    assert result.returncode == 0, result.stderr
    mistakes(tap, made)
    if shutil.which("objdump") and os.uname().machine in ("x86_64", "aarch64"):
        tap.check("a getter is a load", lambda: getters_are_loads(made))
    else:
        tap.skip("a getter is a load", "no objdump, or a machine whose instructions are not counted here")
    tap.check("schemas that nobody uses are not linked", lambda: unused_schemas_vanish(made))
    tap.check("files that stay the same are not touched", touches_only_changes)
    tap.check("the place of the schemas leaves no trace", lambda: same_elsewhere(made))
    tap.check("types come through aliases", aliases)
    tap.check("an empty prefix is possible", empty_prefix)
    tap.check("a header of another plugin is told apart", foreign_header)
    tap.check("members and constants that meet other names", collisions)
    tap.check("generics of which a part is bound", partly_bound)
    tap.check("two files of one stem are told apart or refused", two_files_of_one_stem)
    tap.check("the plugin by hand", by_hand)
    tap.check("what cannot be written whole is removed", full_disk)
    using = 'using C = import "/ww/c.capnp"; '
    tap.check("a prefix that is no name is refused", refuses(
        "prefix", '@0x9c5d2f3a81b7e641; ' + using + '$C.prefix("a b");', "no name in C"))
    tap.check("a name that is none is refused", refuses(
        "name", '@0x9c5d2f3a81b7e642; ' + using + 'struct A $C.name("1a") {}', "no name in C"))
    tap.check("one name for two is refused", refuses(
        "twice", '@0x9c5d2f3a81b7e643; ' + using + 'struct A {} struct B $C.name("A") {}', "rename one"))
    tap.check("one name for two members of a union is refused", refuses(
        "members", '@0x9c5d2f3a81b7e646; ' + using + 'struct A { union { x @0 :Int8; y @1 :Int8 $C.name("x"); } }', "two members"))
    tap.check("one name for two brands is refused", refuses(
        "brands", "@0x9c5d2f3a81b7e645; struct P(X, Y) { x @0 :X; y @1 :Y; } struct A { struct B {} } struct B { struct C {} } "
        "struct C {} struct U { one @0 :P(A.B, C); two @1 :P(A, B.C); }", "two brands"))
    tap.check("a skipped type as parameters is refused", refuses(
        "skip", '@0x9c5d2f3a81b7e644; ' + using + 'struct A $C.skip {} interface I { f @0 A -> (); }', "skipped"))
    shutil.rmtree(SCRATCH)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
