# Generics whose bindings grow with each step, for tests of what works by schema.

@0xb3c1d2f3a81b7e65;

struct Map(K, V) {
  entries @0 :List(Entry);
  struct Entry {
    key @0 :K;
    value @1 :V;
    more :group {
      again @2 :Map(V, K);
    }
    union {
      none @3 :Void;
      deep @4 :Box(Map(K, Box(V)));
    }
  }
}

struct Box(T) {
  value @0 :T;
  map @1 :Map(T, T);
  next @2 :Box(T);
}

struct User {
  map @0 :Map(Text, Data);
  nested @1 :Map(List(Int8), Map(Text, User));
  box @2 :Box(List(Text));
}
