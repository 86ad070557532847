#!/usr/bin/env python3
"""convert_test.py CAPNP WW-CONVERT SCHEMA-DIR: ww-convert against `capnp convert`, form by form.

Messages are random (fixed seed) values of the test schemas, streams of them at a time. Prints TAP."""
import pathlib
import random
import subprocess
import sys
import tempfile

CAPNP, OURS, SCHEMA = sys.argv[1:4]
HERE = pathlib.Path(__file__).resolve().parent
COLORS = ["red", "green", "blue"]


def run(args, data):
    done = subprocess.run(args, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    return done.returncode, done.stdout, done.stderr.decode(errors="replace")


class Values:
    """Random values in the text form."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def integer(self, bits, signed):
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        v = self.r.choice([low, high, 0, 1, self.r.randint(low, high), self.r.randint(max(low, -100), min(high, 100))])
        return str(v) if v < 0 or self.r.random() < 0.8 else self.r.choice([hex(v), "0%o" % v])

    def float(self):
        r = self.r
        return r.choice([
            lambda: r.choice(["inf", "-inf", "nan", "0", "-0.0", "1e300", "4.9e-324", "1e-45", "1.", "3.4e38"]),
            lambda: repr(r.uniform(-1000, 1000)),
            lambda: repr(r.uniform(-1, 1) * 10.0 ** r.randint(-300, 300)),
            lambda: str(r.randint(-10 ** 18, 10 ** 18)),
            lambda: "%.*g" % (r.randint(1, 20), r.uniform(0, 1e9))])()

    def bytes(self, text):
        def one():
            c = self.r.choice([self.r.randint(1, 255), self.r.randint(32, 126), self.r.randint(0, 31)])
            if text and c > 127:
                return self.r.choice("éß€𝄞")
            if c in b"\"\\":
                return "\\" + chr(c)
            # The reference counts brackets to find the end of a message, also those in strings.
            return chr(c) if 32 <= c < 127 and c not in b"()#'" else self.r.choice(["\\x%02x" % c, "\\%03o" % c])
        return '"' + "".join(one() for _ in range(self.r.choice([0, 1, 3, 10, 30, 70]))) + '"'

    def list(self, make, most=5):
        return "[" + ", ".join(make() for _ in range(self.r.choice([0, 1, 2, 3, most, most]))) + "]"

    def fields(self, **makers):
        """A struct with some of its fields. A maker of a list of tuples is a union."""
        out = []
        for name, make in makers.items():
            if self.r.random() < 0.5:
                continue
            if isinstance(make, list):
                name, make = self.r.choice(make)
            out.append("%s = %s" % (name, make()))
        self.r.shuffle(out)
        return "(" + ", ".join(out) + self.r.choice(["", "", " # comment\n"]) + ")"

    def int_maker(self, bits, signed):
        return lambda: self.integer(bits, signed)

    def bool(self):
        return self.r.choice(["true", "false"])

    def void(self):
        return "void"

    def text(self):
        return self.bytes(True)

    def data(self):
        return self.bytes(False)

    def color(self):
        return self.r.choice(COLORS)

    def Point(self):
        return self.fields(x=self.int_maker(32, True), y=self.int_maker(32, True))

    def Scalars(self):
        ints = {s + str(b): self.int_maker(b, s == "i") for s in "iu" for b in (8, 16, 32, 64)}
        return self.fields(void=self.void, flag=self.bool, set=self.bool, f32=self.float, f64=self.float,
            color=self.color, **ints)

    def Pointers(self, depth=4):
        more = {"child": lambda: self.Pointers(depth - 1)} if depth else {}
        return self.fields(text=self.text, textDefault=self.text, data=self.data, dataDefault=self.data,
            point=self.Point, pointDefault=self.Point, **more)

    def Lists(self):
        def of(make):
            return lambda: self.list(make, 12)
        ints = {s + str(b) + "s": of(self.int_maker(b, s == "i")) for s in "iu" for b in (8, 16, 32, 64)}
        return self.fields(voids=of(self.void), bools=of(self.bool), f32s=of(self.float), f64s=of(self.float),
            texts=of(self.text), datas=of(self.data), colors=of(self.color), points=of(self.Point),
            matrix=of(of(self.int_maker(16, True))), pointLists=of(of(self.Point)),
            withDefault=of(self.int_maker(16, False)), **ints)

    def Shape(self, depth=3):
        inner = lambda: self.fields(inner=[("empty", self.void), ("filled", self.bool)])
        box = lambda: self.fields(corner=self.Point, width=self.int_maker(16, False),
            inner=[("inner", lambda: self.fields(u=[("empty", self.void), ("filled", self.bool)]))])
        tail = [("nothing", self.void)] + ([("next", lambda: self.Shape(depth - 1))] if depth else [])
        del inner
        return self.fields(area=self.float, tail=lambda: self.fields(u=tail),
            union=[("circle", self.float), ("square", self.int_maker(32, False)), ("none", self.void),
                ("label", self.text), ("polygon", lambda: self.list(self.Point)), ("box", box)])

    def UsesPair(self):
        return self.fields(pair=lambda: self.fields(first=self.text, second=self.Point))

    # annotated.capnp

    def Deeper(self):
        return self.fields(x=self.float, y=self.data)

    def Inner(self):
        return self.fields(a=self.int_maker(32, True), b=self.text, deeper=self.Deeper)

    def Figure(self):
        return self.fields(color=self.text, u=[
            ("circle", lambda: self.fields(radius=self.float)), ("none", self.void), ("other", self.Inner),
            ("square", lambda: self.fields(width=self.float, radius=self.text))])

    def Root(self):
        level = lambda: self.r.choice(["low", "high", "plain"])
        return self.fields(first=self.text, level=level, levels=lambda: self.list(level), coded=self.data,
            hexed=self.data, raw=self.data, flat=self.Inner, prefixed=self.Inner,
            group=lambda: self.fields(p=self.int_maker(64, False), q=self.bool),
            tagged=lambda: self.fields(u=[("nothing", self.void), ("number", self.int_maker(16, True)),
                ("text", self.text), ("inner", self.Inner)]),
            merged=lambda: self.fields(u=[("one", self.Inner), ("two", self.Deeper), ("three", self.text),
                ("four", self.void)]),
            shape=self.Figure, shapes=lambda: self.list(self.Figure))

    def Bare(self):
        return self.fields(u=[("a", self.void), ("b", self.int_maker(32, True))])


class Pair:
    """Both programs, for one type."""

    def __init__(self, work, schema, kind):
        self.theirs = [CAPNP, "convert", "-I" + SCHEMA]
        self.where = [str(HERE / schema), kind]
        request = work / (schema + ".req")
        if not request.exists():
            args = [CAPNP, "compile", "-I" + SCHEMA, "-o-", "--src-prefix=" + str(HERE), self.where[0]]
            request.write_bytes(subprocess.run(args, stdout=subprocess.PIPE, check=True).stdout)
        self.ours = [str(request), kind]

    def reference(self, forms, data, *options):
        code, out, err = run(self.theirs + list(options) + [forms] + self.where, data)
        assert code == 0 and not err, "capnp convert %s: %s" % (forms, err[:500])
        return out

    def own(self, forms, data, *options):
        code, out, err = run([OURS] + list(options) + [forms] + self.ours, data)
        assert code == 0, "ww-convert %s: %s" % (forms, err[:500])
        return out

    def same(self, what, want, got):
        if want == got:
            return
        at = next((i for i, (a, b) in enumerate(zip(want, got)) if a != b), min(len(want), len(got)))
        raise AssertionError("%s: at byte %d %r, not %r" % (
            what, at, got[max(0, at - 40):at + 40], want[max(0, at - 40):at + 40]))


def streams(work, schema, kind, make, count):
    """Texts to every form: printed forms byte for byte, binary forms by what the reference reads in them."""
    pair = Pair(work, schema, kind)
    text = "\n".join(make() for _ in range(count)).encode()
    binary = pair.reference("text:binary", text)
    for options in [], ["--short"]:
        for form in "text", "json":
            pair.same("binary:" + form, pair.reference("binary:" + form, binary, *options),
                pair.own("binary:" + form, binary, *options))
    plain = pair.reference("binary:text", binary)
    for form in "binary", "packed":
        pair.same("text:" + form, plain, pair.reference(form + ":text", pair.own("text:" + form, text)))
        pair.same(form + ":text", plain, pair.own(form + ":text", pair.reference("binary:" + form, binary)))
    pair.same("text:text", plain, pair.own("text:text", text))
    # Float32 goes through JSON exactly; \u escapes do not go through the reference, so ours reads them alone.
    json = pair.own("binary:json", binary)
    pair.same("json:json", json, pair.own("json:json", json))
    if b"\\u" not in json:
        pair.same("json:text", pair.reference("json:text", json), pair.own("json:text", json))


def single(work, schema, kind, make, count):
    """Forms without a frame, one message each."""
    pair = Pair(work, schema, kind)
    for _ in range(count):
        text = make().encode()
        binary = pair.reference("text:binary", text)
        canonical = pair.reference("binary:canonical", binary)
        pair.same("text:canonical", canonical, pair.own("text:canonical", text))
        pair.same("canonical:canonical", canonical, pair.own("canonical:canonical", canonical))
        flat = pair.reference("binary:flat", binary)
        plain = pair.reference("binary:text", binary)
        pair.same("flat:text", plain, pair.own("flat:text", flat))
        pair.same("flat:flat-packed", pair.reference("flat:flat-packed", flat), pair.own("flat:flat-packed", flat))
        packed = pair.own("text:flat-packed", text)
        pair.same("flat-packed:text", plain, pair.reference("flat-packed:text", packed))


def order(work, schema, kind, make, count):
    """Members of JSON objects in any order, also before the discriminator that they hang on."""
    import json
    pair = Pair(work, schema, kind)
    r = random.Random(5)

    def shuffled(v):
        if isinstance(v, list):
            return [shuffled(e) for e in v]
        if not isinstance(v, dict):
            return v
        members = [(k, shuffled(e)) for k, e in v.items()]
        r.shuffle(members)
        return dict(members)
    text = "\n".join(make() for _ in range(count)).encode()
    lines = pair.own("text:json", text, "--short").decode().splitlines()
    mixed = "\n".join(json.dumps(shuffled(json.loads(line)), ensure_ascii=False) for line in lines).encode()
    if b"\\u" not in mixed:
        pair.same("json:text", pair.reference("json:text", mixed), pair.own("json:text", mixed))
    assert len(pair.own("json:json", mixed, "--short").splitlines()) == len(lines)


def literals(work):
    """Single texts that the reference takes or refuses: so do we."""
    pair = Pair(work, "kitchen.capnp", "Scalars")
    taken = ["(i8= -5)", "(i8= - 5)", "(u8=017)", "(f64=1.)", "(f64=1.5e+3)", "(f64=1E5)", "(f64=00.5)", "(f64=1e999)",
        "(f32=1e39)", "(i8=(5))", "((i8=5))", "(i8=5,)", "(f64=0x10)", "(i8=5)#x", "(f64= -0)", "(i64= -9223372036854775808)",
        "(u64=0xffffffffffffffff)", "(i8=1,i8=2)", "(f32=16777217)", "(f64=9007199254740993)", "(f32=1.00000017881393432617187499)"]
    refused = ["(i8=08)", "(f64=.5)", "(f64= -nan)", "(i8=1.0)", "(color=1)", "(color=.blue)", "(flag=1)", "(void=())", "(,)",
        "(i64=0x8000000000000000)", "(i8=128)", "(i8= -129)", "(u8= -1)", "(x=1)", "(i8 1)", "(i8=1", "(i8=inf)", "(i8=foo)",
        "(u8=0X10)", '(f64="1")', "(i8=[1])", "(1)", "(i8=1a)", "(5, 6)"]
    for text in taken:
        pair.same(text, pair.reference("text:text", text.encode()), pair.own("text:text", text.encode()))
    for text in refused:
        assert run(pair.theirs + ["text:text"] + pair.where, text.encode())[2], "the reference takes " + text
        code, out, err = run([OURS, "text:text"] + pair.ours, text.encode())
        assert code == 1 and out == b"" and err, "ww-convert takes " + text


def generics(work):
    """Text only: the reference's JSON ends in a segmentation fault where bindings grow without end."""
    text = rb"""(map = (entries = [
        (key = "k", value = "\xff", more = (again = (entries = [(key = "\x01", value = "v")])),
         deep = (value = (entries = [(key = "kk", value = (value = "\x02"))]),
                 map = (entries = [(key = (entries = []))]), next = (value = (entries = [(key = "z")])))), ()]),
      nested = (entries = [(key = [1, -2], value = (entries = [
         (key = "t", value = (box = (value = ["q"], map = (entries = [(key = ["r"])])))), (deep = ())]))]),
      box = (value = ["x"], map = (entries = [(value = []), (key = ["a", "b"])]), next = (value = [])))"""
    pair = Pair(work, "boxes.capnp", "User")
    want = pair.reference("text:text", text)
    pair.same("text:text", want, pair.own("text:text", text))
    pair.same("text:binary", want, pair.reference("binary:text", pair.own("text:binary", text)))
    json = pair.own("text:json", text)
    pair.same("json:text", want, pair.own("json:text", json))


def evolved(work):
    """Lists of scalars and pointers that have become lists of structs since, at the top and deep below: what an older sender
    wrote has every form that the reference gives it. The canonical one keeps such lists as they are, there and here."""
    older, newer = work / "older.capnp", work / "newer.capnp"
    older.write_text("""@0x9c5d2f3a81b7e691;
struct A { l @0 :List(UInt8); m @1 :List(UInt32); t @2 :List(Text); sub @3 :A; v @4 :List(Void); w @5 :List(List(UInt16));
    s @6 :List(A); }""")
    newer.write_text("""@0x9c5d2f3a81b7e692;
struct A { l @0 :List(B); m @1 :List(C); t @2 :List(T); sub @3 :A; v @4 :List(B); w @5 :List(List(D)); s @6 :List(A); }
struct B { x @0 :UInt8; y @1 :Text; } struct C { x @0 :UInt32; } struct D { x @0 :UInt16; y @1 :UInt64; }
struct T { t @0 :Text; y @1 :UInt8; }""")
    text = b"""(l = [1, 2, 3], m = [70000, 5], t = ["a", "b"], v = [void, void], w = [[1, 2], [3]],
        sub = (l = [4, 5], w = [[9]], s = [(l = [7, 0], m = [0]), (t = [""])]))"""
    code, binary, err = run([CAPNP, "convert", "text:binary", str(older), "A"], text)
    assert code == 0, err
    pair = Pair(work, str(newer), "A")
    for form in "canonical", "text", "json", "packed", "flat":
        pair.same("binary:" + form, pair.reference("binary:" + form, binary), pair.own("binary:" + form, binary))


def itself(work):
    """The request of schema.capnp, read by itself: 85 KB of unions, groups and AnyPointers."""
    schema = "/usr/include/capnp/schema.capnp"
    request = subprocess.run([CAPNP, "compile", "-o-", schema], stdout=subprocess.PIPE, check=True).stdout
    path = work / "schema.req"
    path.write_bytes(request)
    kind = "CodeGeneratorRequest"
    for options in [], ["--short"]:
        code, want, err = run([CAPNP, "convert"] + options + ["binary:text", schema, kind], request)
        assert code == 0, err
        code, got, err = run([OURS] + options + ["binary:text", str(path), kind], request)
        assert code == 0 and got == want, "differs: " + err


def main():
    tests = []
    for seed in range(3):
        for schema, kind, name in [("kitchen.capnp", k, k) for k in
                ("Point", "Scalars", "Pointers", "Lists", "Shape", "UsesPair")] + [
                ("annotated.capnp", "Root", "Root"), ("annotated.capnp", "Bare", "Bare")]:
            make = getattr(Values("%s%d" % (kind, seed)), name)
            tests.append(("streams of %s, seed %d" % (kind, seed), streams, (schema, kind, make, 40)))
            if seed == 0:
                tests.append(("single %s" % kind, single, (schema, kind, make, 3)))
    tests.append(("order of members", order, ("annotated.capnp", "Root", Values("order").Root, 60)))
    tests.append(("literals", literals, ()))
    tests.append(("generics", generics, ()))
    tests.append(("lists of an older schema", evolved, ()))
    tests.append(("schema.capnp by itself", itself, ()))
    failed = 0
    print("1..%d" % len(tests))
    with tempfile.TemporaryDirectory() as work:
        for number, (name, test, args) in enumerate(tests, 1):
            try:
                test(pathlib.Path(work), *args)
                print("ok %d - %s" % (number, name))
            except AssertionError as why:
                failed += 1
                print("not ok %d - %s\n# %s" % (number, name, str(why).replace("\n", "\n# ")))
    return 1 if failed else 0


sys.exit(main())
