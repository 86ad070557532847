# Defaults and constants of every kind, and names that C trips over.

@0xe95b0d7a34f8c162;

using Generics = import "generics.capnp";
using C = import "/ww/c.capnp";
using Cxx = import "/capnp/c++.capnp";
using Alias = Generics.Person;
using Number = Float64;

annotation unit @0xb7d20c8e5a61f394 (field) :Text;
annotation origin @0xd0846be1f29a357c (struct) :Point;

const zero :Void = void;
const yes :Bool = true;
const small :Int8 = -128;
const tiny :Float32 = 1e-40;
const huge :Number = 1.7976931348623157e308;
const minus :Float64 = -inf;
const wrong :Float32 = nan;
const escaped :Text = "tab\t quote\" back\\ nul\x01 ?\?/ é ☃";
const same :Text = .escaped;
const words :List(Text) = ["a", .escaped, ""];
const corner :Point = (x = 7, y = .lower);
const lower :Int32 = -9;
const corners :List(Point) = [.corner, (x = 1)];
const matrix :List(List(Int8)) = [[1, 2], [], [-3]];
const flags :List(Bool) = [true, false, true, true, false, false, true, false, true];
const voids :List(Void) = [void, void];
const moods :List(Mood) = [bad, good];
const ada :Alias = (name = "Ada");

enum Mood { good @0; bad @1; }

struct Point { x @0 :Int32; y @1 :Int32 = 3; }

struct Holder(T) { held @0 :T; box @1 :Generics.Box(T); }

struct All $origin(x = 4) {
  text @0 :Text = "tab\t quote\" ☃ \x7f end" $unit("glyphs");
  empty @1 :Text = "";
  data @2 :Data = 0x"00 01 fe ff";
  bools @3 :List(Bool) = [true, false, true];
  int8s @4 :List(Int8) = [-1, 0, 127];
  uint64s @5 :List(UInt64) = [18446744073709551615];
  float32s @6 :List(Float32) = [1.5, inf, -inf];
  float64s @7 :List(Float64) = [0.1, -1e300];
  texts @8 :List(Text) = ["", "x", "☃"];
  datas @9 :List(Data) = ["ab", 0x"00"];
  moods @10 :List(Mood) = [bad, good, bad];
  points @11 :List(Point) = [(x = 1), (), (y = 9)];
  lists @12 :List(List(UInt16)) = [[1], [], [2, 3]];
  pointLists @13 :List(List(Point)) = [[(x = 1)], []];
  point @14 :Point = (x = 1, y = 2);
  deep @15 :All = (point = (x = 9), texts = ["in"], deep = (text = "deeper"));
  any @16 :AnyPointer;
  cap @17 :Capability;
  voids @18 :List(Void) = [void, void, void];
  f32 @19 :Float32 = nan;
  f64 @20 :Float64 = -inf;
  mood @21 :Mood = bad;
  u64 @22 :UInt64 = 18446744073709551615;
  i64 @23 :Int64 = -9223372036854775808;
  box @24 :Generics.Box(Point) = (value = (x = 8), label = "b");
  same @25 :Text = .escaped;
  union {
    nothing @26 :Void;
    choice @27 :Text = "chosen";
    group :group {
      inner :union {
        one @28 :UInt16 = 11;
        two :group {
          three @29 :List(Int32) = [3, 3, 3];
          last :union { four @30 :Bool = true; five @31 :Point = (y = 5); }
        }
      }
    }
  }
}

struct Awkward {
  # Each name is somebody's keyword or macro.
  errno @0 :Int32;
  null @1 :Bool;
  linux @2 :Text;
  unix @3 :Point;
  stdin @4 :List(Text);
  node @5 :UInt8;
  switch @6 :UInt8;
  r @7 :UInt8;
  b @8 :Point;
  l @9 :Text;
  reader @10 :Text;
  id @11 :UInt64;
  operator @12 :Mood;
  eof @13 :Text $C.name("EOF");
  hidden @14 :Text $C.skip;
  secret @15 :Secret;
  set :group { x @16 :UInt8; }
  x @17 :UInt8;
  union { which @18 :Void; default @19 :Point; other @20 :Secret; }
  struct EOF { signed @0 :Bool; }
  struct NULL { volatile @0 :Text; }
  enum Errno { int @0; else @1; eof @2; }
}

struct Secret $C.skip { key @0 :Data; }

interface Awful $C.allowCancellation {
  errno @0 (struct :Text) -> (union :Int32);
  drop @1 ();
  linux @2 () -> (self :Awful);
  request @3 (call :Text) -> (request :Text);
  server @4 ();
  ops @5 () -> stream;
  delete @6 Point -> Point;
}

interface Slow {
  wait @0 ();
  stop @1 () $C.allowCancellation;
  tree @2 () -> (tree :Tree);
  caps @3 () -> (deep :Deep);
  any @4 () -> (box :Generics.Box(Text));
  unbound @5 () -> (box :Generics.Box);

  struct Tree { left @0 :Tree; right @1 :List(Tree); label @2 :Text; }
  struct Deep { tree @0 :Tree; more @1 :List(Deeper); }
  struct Deeper { union { a @0 :Void; g :group { slow @1 :Slow; n @2 :Int32; } } }
}

struct Wide {
  f0 @0 :Bool = true;
  f1 @1 :UInt8 = 1;
  f2 @2 :Int16 = -2;
  f3 @3 :Text;
  f4 @4 :Float32 = 4.5;
  f5 @5 :UInt64;
  f6 @6 :Bool;
  f7 @7 :UInt8 = 7;
  f8 @8 :Int16 = -8;
  f9 @9 :Text;
  f10 @10 :Float32 = 10.5;
  f11 @11 :UInt64;
  f12 @12 :Bool = true;
  f13 @13 :UInt8 = 13;
  f14 @14 :Int16 = -14;
  f15 @15 :Text;
  f16 @16 :Float32 = 16.5;
  f17 @17 :UInt64;
  f18 @18 :Bool;
  f19 @19 :UInt8 = 19;
  f20 @20 :Int16 = -20;
  f21 @21 :Text;
  f22 @22 :Float32 = 22.5;
  f23 @23 :UInt64;
  f24 @24 :Bool = true;
  f25 @25 :UInt8 = 25;
  f26 @26 :Int16 = -26;
  f27 @27 :Text;
  f28 @28 :Float32 = 28.5;
  f29 @29 :UInt64;
  f30 @30 :Bool;
  f31 @31 :UInt8 = 31;
  f32 @32 :Int16 = -32;
  f33 @33 :Text;
  f34 @34 :Float32 = 34.5;
  f35 @35 :UInt64;
  f36 @36 :Bool = true;
  f37 @37 :UInt8 = 37;
  f38 @38 :Int16 = -38;
  f39 @39 :Text;
  f40 @40 :Float32 = 40.5;
  f41 @41 :UInt64;
  f42 @42 :Bool;
  f43 @43 :UInt8 = 43;
  f44 @44 :Int16 = -44;
  f45 @45 :Text;
  f46 @46 :Float32 = 46.5;
  f47 @47 :UInt64;
  f48 @48 :Bool = true;
  f49 @49 :UInt8 = 49;
  f50 @50 :Int16 = -50;
  f51 @51 :Text;
  f52 @52 :Float32 = 52.5;
  f53 @53 :UInt64;
  f54 @54 :Bool;
  f55 @55 :UInt8 = 55;
  f56 @56 :Int16 = -56;
  f57 @57 :Text;
  f58 @58 :Float32 = 58.5;
  f59 @59 :UInt64;
  f60 @60 :Bool = true;
  f61 @61 :UInt8 = 61;
  f62 @62 :Int16 = -62;
  f63 @63 :Text;
  f64 @64 :Float32 = 64.5;
  f65 @65 :UInt64;
  f66 @66 :Bool;
  f67 @67 :UInt8 = 67;
  f68 @68 :Int16 = -68;
  f69 @69 :Text;
  f70 @70 :Float32 = 70.5;
  f71 @71 :UInt64;
  f72 @72 :Bool = true;
  f73 @73 :UInt8 = 73;
  f74 @74 :Int16 = -74;
  f75 @75 :Text;
  f76 @76 :Float32 = 76.5;
  f77 @77 :UInt64;
  f78 @78 :Bool;
  f79 @79 :UInt8 = 79;
  f80 @80 :Int16 = -80;
  f81 @81 :Text;
  f82 @82 :Float32 = 82.5;
  f83 @83 :UInt64;
  f84 @84 :Bool = true;
  f85 @85 :UInt8 = 85;
  f86 @86 :Int16 = -86;
  f87 @87 :Text;
  f88 @88 :Float32 = 88.5;
  f89 @89 :UInt64;
  f90 @90 :Bool;
  f91 @91 :UInt8 = 91;
  f92 @92 :Int16 = -92;
  f93 @93 :Text;
  f94 @94 :Float32 = 94.5;
  f95 @95 :UInt64;
  f96 @96 :Bool = true;
  f97 @97 :UInt8 = 97;
  f98 @98 :Int16 = -98;
  f99 @99 :Text;
  f100 @100 :Float32 = 100.5;
  f101 @101 :UInt64;
  f102 @102 :Bool;
  f103 @103 :UInt8 = 103;
  f104 @104 :Int16 = -104;
  f105 @105 :Text;
  f106 @106 :Float32 = 106.5;
  f107 @107 :UInt64;
  f108 @108 :Bool = true;
  f109 @109 :UInt8 = 109;
  f110 @110 :Int16 = -110;
  f111 @111 :Text;
  f112 @112 :Float32 = 112.5;
  f113 @113 :UInt64;
  f114 @114 :Bool;
  f115 @115 :UInt8 = 115;
  f116 @116 :Int16 = -116;
  f117 @117 :Text;
  f118 @118 :Float32 = 118.5;
  f119 @119 :UInt64;
  f120 @120 :Bool = true;
  f121 @121 :UInt8 = 121;
  f122 @122 :Int16 = -122;
  f123 @123 :Text;
  f124 @124 :Float32 = 124.5;
  f125 @125 :UInt64;
  f126 @126 :Bool;
  f127 @127 :UInt8 = 127;
  f128 @128 :Int16 = -128;
  f129 @129 :Text;
  f130 @130 :Float32 = 130.5;
  f131 @131 :UInt64;
  f132 @132 :Bool = true;
  f133 @133 :UInt8 = 133;
  f134 @134 :Int16 = -134;
  f135 @135 :Text;
  f136 @136 :Float32 = 136.5;
  f137 @137 :UInt64;
  f138 @138 :Bool;
  f139 @139 :UInt8 = 139;
  f140 @140 :Int16 = -140;
  f141 @141 :Text;
  f142 @142 :Float32 = 142.5;
  f143 @143 :UInt64;
  f144 @144 :Bool = true;
  f145 @145 :UInt8 = 145;
  f146 @146 :Int16 = -146;
  f147 @147 :Text;
  f148 @148 :Float32 = 148.5;
  f149 @149 :UInt64;
  f150 @150 :Bool;
  f151 @151 :UInt8 = 151;
  f152 @152 :Int16 = -152;
  f153 @153 :Text;
  f154 @154 :Float32 = 154.5;
  f155 @155 :UInt64;
  f156 @156 :Bool = true;
  f157 @157 :UInt8 = 157;
  f158 @158 :Int16 = -158;
  f159 @159 :Text;
  f160 @160 :Float32 = 160.5;
  f161 @161 :UInt64;
  f162 @162 :Bool;
  f163 @163 :UInt8 = 163;
  f164 @164 :Int16 = -164;
  f165 @165 :Text;
  f166 @166 :Float32 = 166.5;
  f167 @167 :UInt64;
  f168 @168 :Bool = true;
  f169 @169 :UInt8 = 169;
  f170 @170 :Int16 = -170;
  f171 @171 :Text;
  f172 @172 :Float32 = 172.5;
  f173 @173 :UInt64;
  f174 @174 :Bool;
  f175 @175 :UInt8 = 175;
  f176 @176 :Int16 = -176;
  f177 @177 :Text;
  f178 @178 :Float32 = 178.5;
  f179 @179 :UInt64;
  f180 @180 :Bool = true;
  f181 @181 :UInt8 = 181;
  f182 @182 :Int16 = -182;
  f183 @183 :Text;
  f184 @184 :Float32 = 184.5;
  f185 @185 :UInt64;
  f186 @186 :Bool;
  f187 @187 :UInt8 = 187;
  f188 @188 :Int16 = -188;
  f189 @189 :Text;
  f190 @190 :Float32 = 190.5;
  f191 @191 :UInt64;
  f192 @192 :Bool = true;
  f193 @193 :UInt8 = 193;
  f194 @194 :Int16 = -194;
  f195 @195 :Text;
  f196 @196 :Float32 = 196.5;
  f197 @197 :UInt64;
  f198 @198 :Bool;
  f199 @199 :UInt8 = 199;
}
