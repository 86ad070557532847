#!/usr/bin/env python3
"""Shows each gate failing once on purpose, so that a green gate means something. TAP on stdout."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(tool, root):
    return subprocess.run([sys.executable, ROOT / "tools" / tool, root], capture_output=True, text=True)


def tree(files):
    root = pathlib.Path(tempfile.mkdtemp())
    (root / "tools").mkdir()
    shutil.copy(ROOT / "tools/layers.txt", root / "tools/layers.txt")
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


LONG = "int f(void)\n{\n" + "    g();\n" * 71 + "}\n"
CASES = [  # name, tool, files, text that the refusal must contain
    ("an arrow that points up", "check-layers", {"src/base/a.c": '#include "rpc/x.h"\n'}, "base may not include rpc"),
    ("an arrow between siblings", "check-layers", {"src/os/a.c": '#include "sim/x.h"\n'}, "os may not include sim"),
    ("a public header of a higher layer", "check-layers", {"src/base/a.c": '#include "ww/rpc.h"\n'}, "may not include"),
    ("a folder without a place", "check-layers", {"src/new/a.c": '#include "base/x.h"\n'}, "has no place"),
    ("a tree without arrows", "check-layers", {"src/base/a.c": "\n"}, "the check itself is broken"),
    ("a banned function", "tidy", {"src/base/a.c": "int a = atoi(b);\n"}, "atoi is banned"),
    ("plain malloc", "tidy", {"src/base/a.c": "p = malloc(3);\n"}, "malloc is banned"),
    ("a library that prints", "tidy", {"src/base/a.c": 'int f = printf("x");\n'}, "do not print"),
    ("a header with an owner", "tidy", {"src/p2p/a.c": "#include <uv.h>\n"}, "only in src/os"),
    ("a long function", "tidy", {"src/base/a.c": LONG}, "more than 70"),
    ("a long line", "tidy", {"src/base/a.c": "/* " + "x" * 130 + " */\n"}, "columns"),
    ("an unfinished mark", "tidy", {"src/base/a.c": "/* TO" "DO */\n"}, "unfinished mark"),
    ("a file that no build lists", "tidy", {"src/base/a.c": "\n"}, "no meson.build lists"),
    ("an empty tree", "tidy", {}, "0 files"),
]


def main():
    print(f"TAP version 13\n1..{len(CASES) + 4}")
    failed = False
    for number, (name, tool, files, text) in enumerate(CASES, 1):
        root = tree(files)
        result = run(tool, root)
        good = result.returncode != 0 and text in result.stdout
        print(f"{'ok' if good else 'not ok'} {number} - {tool} refuses {name}")
        failed |= not good
        shutil.rmtree(root)
    for number, tool in enumerate(("tidy", "check-layers"), len(CASES) + 1):
        result = run(tool, ROOT)
        print(f"{'ok' if result.returncode == 0 else 'not ok'} {number} - {tool} passes on this tree")
        if result.returncode:
            print("\n".join("# " + line for line in result.stdout.splitlines()))
            failed = True
    failed |= reference(len(CASES) + 3)
    return failed


def reference(number):
    """Each public function is described where it is declared, and so in the reference."""
    header = "/* ww/x.h — a header */\n\n/* One. */\nWW_API void ww_one(int a);\n\nWW_API void ww_two(void);\n"
    root = tree({"x.h": header})
    tool = [sys.executable, ROOT / "tools/reference", "--check", root / "out"]
    result = subprocess.run([*tool, root / "x.h"], capture_output=True, text=True)
    page = (root / "out/x.md").read_text()
    bad = result.returncode == 0 or ":6: ww_two has no comment" not in result.stdout or "void ww_one(int a);" not in page
    print(f"{'not ok' if bad else 'ok'} {number} - reference refuses a function without a comment")
    result = subprocess.run([*tool, *sorted((ROOT / "include/ww").glob("*.h"))], capture_output=True, text=True)
    poor = result.returncode != 0
    print(f"{'not ok' if poor else 'ok'} {number + 1} - every public function has a comment")
    if poor:
        print("\n".join("# " + line for line in result.stdout.splitlines()))
    shutil.rmtree(root)
    return bad or poor


sys.exit(main())
