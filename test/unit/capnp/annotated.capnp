# Structs with the annotations of /capnp/compat/json.capnp, for tests.

@0xe2b6d0c13f5a4897;

using Json = import "/capnp/compat/json.capnp";

enum Level {
  low @0 $Json.name("LOW");
  high @1 $Json.name("very high");
  plain @2;
}

struct Inner {
  a @0 :Int32;
  b @1 :Text $Json.name("bee");
  deeper @2 :Deeper $Json.flatten(prefix = "d_");
}

struct Deeper {
  x @0 :Float64;
  y @1 :Data $Json.hex;
}

struct Root {
  first @0 :Text $Json.name("some \"name\"");
  level @1 :Level;
  levels @2 :List(Level);
  coded @3 :Data $Json.base64;
  hexed @4 :Data $Json.hex;
  raw @5 :Data;
  flat @6 :Inner $Json.flatten();
  prefixed @7 :Inner $Json.flatten(prefix = "pre_");
  group :group $Json.flatten(prefix = "g.") {
    p @8 :UInt64;
    q @9 :Bool;
  }
  tagged :union $Json.discriminator(name = "kind", valueName = "value") {
    nothing @10 :Void;
    number @11 :Int16 $Json.name("num");
    text @12 :Text;
    inner @13 :Inner;
  }
  merged :union $Json.flatten() $Json.discriminator() {
    one @14 :Inner $Json.flatten(prefix = "m_");
    two @15 :Deeper $Json.flatten(prefix = "m_");
    three @16 :Text;
    four @17 :Void;
  }
  shape @18 :Shape;
  shapes @19 :List(Shape);
}

struct Shape $Json.discriminator(name = "type") {
  color @0 :Text;
  union {
    circle :group $Json.flatten() {
      radius @1 :Float32;
    }
    square :group $Json.flatten() $Json.name("SQUARE") {
      width @2 :Float32;
      radius @3 :Text;
    }
    none @4 :Void;
    other @5 :Inner;
  }
}

struct Bare {
  union {
    a @0 :Void;
    b @1 :Int32;
  }
}
