# Every feature that the generator knows, for tests.

@0x9c5d2f3a81b7e604;

using Other = import "kitchen-other.capnp";
using C = import "/ww/c.capnp";

const answer :UInt16 = 42;
const lowest :Int64 = -9223372036854775808;
const pi :Float64 = 3.141592653589793;
const infinite :Float32 = inf;
const greeting :Text = "hello";
const blob :Data = 0x"00 ff 10";
const numbers :List(Int32) = [1, -2, 3];
const origin :Point = (x = 3, y = -4);
const path :List(Point) = [(x = 1, y = 2), (x = 3)];
const favorite :Color = green;

enum Color {
  red @0;
  green @1;
  blue @2;
}

struct Point {
  x @0 :Int32;
  y @1 :Int32 = 7;
}

struct Scalars {
  void @0 :Void;
  flag @1 :Bool;
  set @2 :Bool = true;
  i8 @3 :Int8 = -3;
  i16 @4 :Int16;
  i32 @5 :Int32 = -100000;
  i64 @6 :Int64;
  u8 @7 :UInt8 = 200;
  u16 @8 :UInt16;
  u32 @9 :UInt32 = 3000000000;
  u64 @10 :UInt64;
  f32 @11 :Float32 = 1.5;
  f64 @12 :Float64 = -0.25;
  color @13 :Color = blue;
}

struct Pointers {
  text @0 :Text;
  textDefault @1 :Text = "fallback";
  data @2 :Data;
  dataDefault @3 :Data = "abc";
  point @4 :Point;
  pointDefault @5 :Point = (x = 11, y = 12);
  any @6 :AnyPointer;
  cap @7 :Capability;
  child @8 :Pointers;
  remote @9 :Other.Remote;
}

struct Lists {
  voids @0 :List(Void);
  bools @1 :List(Bool);
  i8s @2 :List(Int8);
  i16s @3 :List(Int16);
  i32s @4 :List(Int32);
  i64s @5 :List(Int64);
  u8s @6 :List(UInt8);
  u16s @7 :List(UInt16);
  u32s @8 :List(UInt32);
  u64s @9 :List(UInt64);
  f32s @10 :List(Float32);
  f64s @11 :List(Float64);
  texts @12 :List(Text);
  datas @13 :List(Data);
  colors @14 :List(Color);
  points @15 :List(Point);
  matrix @16 :List(List(Int16));
  pointLists @17 :List(List(Point));
  caps @18 :List(Kitchen);
  withDefault @19 :List(UInt16) = [5, 6];
}

struct Shape {
  area @0 :Float64;
  union {
    circle @1 :Float64;
    square @2 :UInt32 = 9;
    none @3 :Void;
    label @4 :Text;
    polygon @5 :List(Point);
    box :group {
      corner @6 :Point;
      width @7 :UInt16 = 4;
      inner :union {
        empty @8 :Void;
        filled @9 :Bool = true;
      }
    }
  }
  tail :union {
    nothing @10 :Void;
    next @11 :Shape;
  }
}

struct Names {
  # Words that C or the generator could trip over.
  which @0 :UInt8;
  int @1 :Int32;
  root @2 :Text;
  class @3 :Text;
  renamed @4 :UInt16 $C.name("other");
  struct Register { default @0 :Bool; }
  union {
    for @5 :Void;
    return @6 :Names;
  }
}

struct Pair(A, B) {
  first @0 :A;
  second @1 :B;
}

struct UsesPair {
  pair @0 :Pair(Text, Point);
}

struct Outer {
  struct Middle {
    struct Inner {
      value @0 :UInt16;
      const limit :UInt32 = 99;
      enum Mood { good @0; bad @1; }
    }
    inner @0 :Inner;
  }
  middle @0 :Middle;
}

interface Base {
  ping @0 (n :UInt32) -> (n :UInt32);
}

interface Extra {
  ping @0 () -> ();
  feed @1 (chunk :Data) -> stream;
}

interface Kitchen extends(Base, Extra) {
  cook @0 (recipe :Shape, helpers :List(Kitchen)) -> (session :Session, meal :Base);
  taste @1 Point -> Scalars;
  delete @2 [T] (what :T) -> (old :T);
  drop @3 () -> ();

  struct Session {
    owner @0 :Kitchen;
    deep :group {
      tool @1 :Extra;
    }
    again @2 :Session;
  }
}
