# Parameters in every place, for tests.

@0xa4f1c83be07d9256;

using Defaults = import "defaults.capnp";

const people :Map(Text, Person) = (entries = [(key = "ada", value = (name = "Ada", age = 36)), (key = "bob")], size = 2);

struct Person {
  name @0 :Text;
  age @1 :UInt8 = 18;
  friends @2 :Map(Text, Person);
  boxes @3 :List(Box(Data));
}

struct Map(Key, Value) {
  entries @0 :List(Entry);
  size @1 :UInt32;
  inverse @2 :Map(Value, Key);
  union {
    none @3 :Void;
    extra @4 :Value;
    pair :group {
      left @5 :Key;
      right @6 :Value;
    }
  }
  struct Entry {
    key @0 :Key;
    value @1 :Value;
    next @2 :Entry;
  }
}

struct Box(T) {
  value @0 :T;
  label @1 :Text = "box";
  point @2 :Defaults.Point = (x = 5);
}

struct Jar(T) {
  struct Text {
    # Named like a built-in type.
    inside @0 :T;
  }
}

struct Two(A) {
  struct Deep(B) {
    a @0 :A;
    b @1 :B;
    both @2 :Map(A, B);
  }
  deep @0 :Deep(Data);
  plain @1 :Deep;
}

struct Grow(T) {
  value @0 :T;
  more @1 :Grow(Box(T));
}

struct User {
  map @0 :Map(Text, Person);
  bytes @1 :Map(Data, List(Person));
  nested @2 :Map(Text, Map(Text, Box(Person)));
  entry @3 :Map(Text, Person).Entry;
  deep @4 :Two(Text).Deep(Person);
  unbound @5 :Map;
  list @6 :List(Map(Text, Text));
  cap @7 :Box(Store(Person));
  boxText @8 :Box(Jar(Person).Text);
  far @9 :Defaults.Holder(Person);
  grow @10 :Grow(Text);
  numbers @11 :Box(List(UInt16));
  any @12 :Box(AnyPointer);
  two @13 :Two(Text);
}

interface Store(T) {
  get @0 (key :Text) -> (value :T);
  put @1 Map(Text, T) -> Map(T, Text);
  each @2 [U] (what :U, box :Box(U)) -> (mine :T, theirs :U);
  open @3 () -> (inner :Store(Box(T)));
  feed @4 (value :T) -> stream;
}

interface PersonStore extends(Store(Person), Named) {
  names @0 () -> (names :Store(Text));
}

interface Named {
  name @0 () -> (name :Text);
}

interface Left extends(Named) { left @0 (); }
interface Right extends(Named) { right @0 (); }
interface Diamond extends(Left, Right) { both @0 (store :Store(Text)) -> (); }
