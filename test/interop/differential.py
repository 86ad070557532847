#!/usr/bin/env python3
"""Random schemas and random values, converted by ww-convert and by the reference's `capnp convert`: text, JSON, binary, packed
and canonical forms must agree, from one segment and from many.

usage: differential.py WW-CONVERT [--rounds N] [--seed S] [--keep DIR]   (TAP on stdout)
A round is one value. A schema serves VALUES of them. A difference is told with its seed; --seed S --rounds 1 repeats it."""
import argparse
import os
import pathlib
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from harness import Tap, _die_with_parent  # noqa: E402

VALUES = 40  # of one schema
JSON_VALUES = 10  # of these, read back from JSON
INTS = {"Int8": (-128, 127), "Int16": (-2**15, 2**15 - 1), "Int32": (-2**31, 2**31 - 1), "Int64": (-2**63, 2**63 - 1),
        "UInt8": (0, 255), "UInt16": (0, 2**16 - 1), "UInt32": (0, 2**32 - 1), "UInt64": (0, 2**64 - 1)}
SCALARS = ["Void", "Bool", "Float32", "Float64"] + list(INTS)


class Struct:
    def __init__(self, name):
        self.name, self.members, self.union, self.text = name, [], None, None


class Schema:
    """A schema file of random structs, enums and generics, and random values of its last struct, Root."""

    def __init__(self, rng, json):
        self.rng, self.json = rng, json
        self.enums, self.structs, self.boxes = {}, [], False
        self.lines = [f"@0x{rng.getrandbits(63) | 1 << 63:016x};"]
        if json:
            self.lines.append('using Json = import "/capnp/compat/json.capnp";')
        for i in range(rng.randint(0, 2)):
            names = [f"v{i}x{k}" for k in range(rng.randint(1, 5))]
            self.enums[f"En{i}"] = names
            self.lines.append(f"enum En{i} {{ " + " ".join(f"{n} @{k};" for k, n in enumerate(names)) + " }")
        if not json and rng.random() < 0.4:
            self.boxes = True  # a generic struct; its parameter holds pointers only
            self.lines.append("struct Box(T) { value @0 :T; count @1 :UInt16; many @2 :List(Text); }")
        if not json and rng.random() < 0.3:
            self.lines.append("interface Face { m @0 (x :Text) -> (); }")
        for i in range(rng.randint(0, 3)):
            self.structs.append(self.struct(f"S{i}"))
        self.structs.append(self.struct("Root"))
        self.text = "\n".join(self.lines) + "\n"

    # ---- schema ----

    def type(self, depth=0):
        rng = self.rng
        kind = rng.random()
        if kind < 0.45 or depth > 2:
            return rng.choice(SCALARS)
        if kind < 0.6:
            return rng.choice(["Text", "Data"])
        if kind < 0.67 and self.enums:
            return rng.choice(list(self.enums))
        if kind < 0.8 and self.structs:
            return rng.choice(self.structs).name
        if kind < 0.84 and self.boxes:
            inner = rng.choice(["Text", "Data", "List(Int16)"] + [s.name for s in self.structs])
            return f"Box({inner})"
        if kind < 0.95:
            return f"List({self.type(depth + 1)})"
        return "Text"

    def struct(self, name):
        self.current = Struct(name)
        self.ordinal = 0
        body = self.members(self.current, 1, self.rng.randint(0, 9), allow_union=True)
        text = "\n".join(body)
        if self.rng.random() < 0.5:  # in another order than in the text
            order = list(range(self.ordinal))
            self.rng.shuffle(order)
            text = re.sub(r" @(\d+) :", lambda m: f" @{order[int(m[1])]} :", text)
        self.lines.append(f"struct {name} {{\n{text}\n}}")
        return self.current

    def members(self, owner, depth, count, allow_union):
        rng, out, pad = self.rng, [], "  " * depth
        unnamed = allow_union and rng.random() < 0.3
        for i in range(count):
            kind = rng.random()
            name = f"f{self.ordinal}{rng.choice(['', 'Ab', 'xYz'])}"
            if kind < 0.1 and depth < 3:
                group = Struct(name + "G")
                inner = self.members(group, depth + 1, rng.randint(1, 3), allow_union=depth < 2)
                owner.members.append((name + "g", group, None))
                out += [f"{pad}{name}g :group {{"] + inner + [pad + "}"]
            elif kind < 0.2 and depth < 3:
                union = Struct(name + "U")
                inner = self.union(union, depth + 1)
                owner.members.append((name + "u", union, None))
                out += [f"{pad}{name}u :union {{"] + inner + [pad + "}"]
            else:
                out.append(self.slot(owner.members, name, pad))
        if unnamed:
            alone = Struct("")
            inner = self.union(alone, depth + 1)
            owner.union = alone.union
            out += [pad + "union {"] + inner + [pad + "}"]
        if not owner.members and not owner.union and depth > 1:
            out.append(self.slot(owner.members, f"f{self.ordinal}z", pad))
        return out

    def union(self, owner, depth):
        rng, out, pad = self.rng, [], "  " * depth
        owner.union = []
        for k in range(rng.randint(2, 5)):
            name = f"u{self.ordinal}"
            if rng.random() < 0.15 and depth < 3:
                group = Struct(name)
                inner = self.members(group, depth + 1, rng.randint(1, 2), allow_union=False)
                owner.union.append((name + "g", group, None))
                out += [f"{pad}{name}g :group {{"] + inner + [pad + "}"]
            else:
                out.append(self.slot(owner.union, name, pad))
        return out

    def slot(self, into, name, pad):
        rng, kind = self.rng, self.type()
        line = f"{pad}{name} @{self.ordinal} :{kind}"
        self.ordinal += 1
        if rng.random() < 0.25 and kind != "Void" and "Box" not in kind:
            line += " = " + self.value(kind, 2, finite=True)
        if self.json and rng.random() < 0.1:
            line += f' $Json.name("{name}-renamed")'
        if self.json and kind == "Data" and "=" not in line and rng.random() < 0.5:
            line += rng.choice([" $Json.hex", " $Json.base64"])
        into.append((name, kind, None))
        return line + ";"

    # ---- values ----

    def number(self, low, high):
        rng = self.rng
        pick = rng.random()
        if pick < 0.2:
            return rng.choice([low, high, 0, 1])
        if pick < 0.6:
            return max(low, min(high, rng.randint(-300, 300)))
        return rng.randint(low, high)

    def real(self, bits, finite):
        rng = self.rng
        pick = rng.random()
        if pick < 0.1 and not finite:
            return rng.choice(["inf", "-inf", "nan"])
        if pick < 0.4:
            return str(rng.randint(-10**6, 10**6)) + ".0"
        if pick < 0.6:
            return repr(rng.randint(-9999, 9999) / 100)
        if pick < 0.8:
            return repr(rng.uniform(-1, 1) * 10.0 ** rng.randint(-35, 35))
        import struct
        while True:
            if bits == 32:
                value = struct.unpack("<f", struct.pack("<I", rng.getrandbits(32)))[0]
            else:
                value = struct.unpack("<d", struct.pack("<Q", rng.getrandbits(64)))[0]
            if value == value and abs(value) != float("inf"):
                return repr(value)

    def string(self):
        rng = self.rng
        alphabet = ["a", "Z", "7", " ", "'", '\\"', "\\n", "\\t", "\\\\", "\\x01", "\\x7f", "é", "漢", "\U0001f600", "/", "<", "\\r", "\\a", "\\b"]
        return '"' + "".join(rng.choice(alphabet) for _ in range(rng.choice([0, 1, 3, 8, 40]))) + '"'

    def value(self, kind, depth, finite=False):
        rng = self.rng
        if isinstance(kind, Struct):
            return self.body(kind, depth, finite)
        if kind == "Void":
            return "void"
        if kind == "Bool":
            return rng.choice(["true", "false"])
        if kind in INTS:
            return str(self.number(*INTS[kind]))
        if kind in ("Float32", "Float64"):
            return self.real(int(kind[5:]), finite)
        if kind == "Text":
            return self.string()
        if kind == "Data":
            if rng.random() < 0.5:
                return '0x"' + rng.randbytes(rng.choice([1, 2, 5, 33])).hex() + '"'
            return '"' + "".join(f"\\x{b:02x}" for b in rng.randbytes(rng.randint(0, 9))) + '"'
        if kind in self.enums:
            return rng.choice(self.enums[kind])
        if kind.startswith("List("):
            inner = kind[5:-1]
            count = 0 if depth > 5 else rng.choice([0, 1, 2, 3, 9, 20] if depth < 3 else [0, 1, 2])
            return "[" + ", ".join(self.value(inner, depth + 1, finite) for _ in range(count)) + "]"
        if kind.startswith("Box("):
            inner = kind[4:-1]
            parts = []
            if rng.random() < 0.8:
                parts.append("value = " + self.value(inner, depth + 1, finite))
            if rng.random() < 0.5:
                parts.append(f"count = {rng.randint(0, 65535)}")
            return "(" + ", ".join(parts) + ")"
        for s in self.structs:
            if s.name == kind:
                return self.body(s, depth + 1, finite)
        raise KeyError(kind)

    def body(self, s, depth, finite):
        rng, parts = self.rng, []
        for name, kind, _ in s.members:
            if rng.random() < (0.75 if depth < 5 else 0.2):
                parts.append(f"{name} = " + self.value(kind, depth + 1, finite))
        if s.union and rng.random() < 0.9:
            name, kind, _ = rng.choice(s.union)
            parts.append(f"{name} = " + self.value(kind, depth + 1, finite))
        return "(" + ", ".join(parts) + ")"


class Difference(Exception):
    pass


def limited():
    _die_with_parent()
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))


def convert(words, data):
    done = subprocess.run([str(w) for w in words], input=data, capture_output=True, timeout=120, preexec_fn=limited)
    if done.returncode != 0:
        raise Difference(f"{' '.join(str(w) for w in words)}: exit {done.returncode}: {done.stderr.decode(errors='replace')[:600]}")
    return done.stdout


def first_difference(a, b):
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return f"at byte {at} of {len(a)} and {len(b)}: {a[max(0, at - 60):at + 60]!r} against {b[max(0, at - 60):at + 60]!r}"


class Case:
    def __init__(self, ww, work, seed):
        self.ww, self.dir = ww, work
        self.rng = rng = random.Random(seed)
        self.json = rng.random() < 0.5
        self.schema = Schema(rng, self.json)
        self.values = "\n".join(self.schema.value(self.schema.structs[-1], 0) for _ in range(VALUES)) + "\n"
        self.file, self.request = work / "random.capnp", work / "random.request"
        self.file.write_text(self.schema.text)
        self.request.write_bytes(convert(["capnp", "compile", "-o-", self.file], b""))

    def encoded(self, text):
        # Not `convert text:binary`, which cuts a stream of values at the wrong places.
        return convert(["capnp", "encode", self.file, "Root"], text)

    def theirs(self, form, data, *options):
        return convert(["capnp", "convert", "--quiet", *options, form, self.file, "Root"], data)

    def ours(self, form, data, *options):
        return convert([self.ww, *options, form, self.request, "Root"], data)

    def same(self, what, theirs, ours):
        if theirs != ours:
            raise Difference(f"{what}: {first_difference(theirs, ours)}")

    def run(self):
        binary = self.encoded(self.values.encode())
        split = self.theirs("binary:binary", binary, "--segment-size=1")
        text = self.theirs("binary:text", binary)
        packed = self.theirs("binary:packed", binary)
        canonical = self.theirs("binary:canonical", binary)
        # What we make of the reference's bytes.
        self.same("text", text, self.ours("binary:text", binary))
        self.same("text of many segments", text, self.ours("binary:text", split))
        self.same("short text", self.theirs("binary:text", binary, "--short"), self.ours("binary:text", binary, "--short"))
        self.same("packed", packed, self.ours("binary:packed", binary))
        self.same("unpacked", binary, self.ours("packed:binary", packed))
        self.same("canonical", canonical, self.ours("binary:canonical", binary))
        self.same("canonical of many segments", canonical, self.ours("binary:canonical", split))
        # What the reference makes of our bytes.
        made = self.ours("text:binary", self.values.encode())
        self.same("our message as text", text, self.theirs("binary:text", made))
        self.same("our message, canonical", canonical, self.theirs("binary:canonical", made))
        # Printed text has 8 digits of a Float32: not all of it, but the same when it is printed again.
        again = self.ours("text:binary", text)
        self.same("our message from printed text", text, self.theirs("binary:text", again))
        if self.json:
            for options in ((), ("--short",)):
                json = self.theirs("binary:json", binary, *options)
                self.same("JSON " + " ".join(options), json, self.ours("binary:json", binary, *options))
            # The last was short: a message a line. The reference reads one at a time (it may cut a stream at the wrong places).
            lines = self.rng.sample(json.splitlines(True), JSON_VALUES)
            back = b"".join(self.theirs("json:binary", line) for line in lines)
            made = self.ours("json:binary", b"".join(lines))
            self.same("our message from JSON", self.theirs("binary:text", back), self.theirs("binary:text", made))
            self.same("our message from JSON, canonical", self.theirs("binary:canonical", back),
                      self.ours("binary:canonical", made))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("convert", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=pathlib.Path, help="leave the files of the first difference here")
    args = parser.parse_args()
    tap = Tap()
    if not shutil.which("capnp"):
        tap.skip("random schemas and values", "the capnp tool is not installed")
        return tap.end()
    failures = 0
    for seed in range(args.seed, args.seed + (args.rounds + VALUES - 1) // VALUES):
        with tempfile.TemporaryDirectory(prefix="ww-differential-") as work:
            def body():
                case = Case(os.path.abspath(args.convert), pathlib.Path(work), seed)
                case.run()
            if not tap.check(f"schema of seed {seed}, {VALUES} values", body):
                failures += 1
                if args.keep and failures == 1:
                    shutil.copytree(work, args.keep, dirs_exist_ok=True)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
