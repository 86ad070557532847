# Anchors: a tree of names shared by a cluster. Each anchor may hold one value.

@0xefb5a91f96d44de3;

using C = import "ww/c.capnp";
$C.prefix("ww_");

using Core = import "core.capnp";
using Cluster = import "cluster.capnp";

interface Anchor {
  ls @0 () -> (children :List(Child));
  # The direct children.

  walk @1 (path :Text) -> (anchor :Anchor);
  # The anchor at `path` below this one, made on demand.

  cell @2 () -> (loader :Loader, storer :Storer);
  # The value, as one capability to read it and one to write it.

  struct Child {
    anchor @0 :Anchor;
    name @1 :Text;
  }

  interface Loader {
    load @0 () -> (value :AnyPointer);
  }

  interface Storer {
    store @0 (value :AnyPointer, overwrite :Bool) -> (succeeded :Bool);
    # Without `overwrite`, an anchor that holds a value keeps it.
  }
}

struct Value {
  # What an anchor is usually given to hold.

  union {
    cluster @0 :Cluster.View;
    host @1 :Core.Session;
    anchor @2 :Anchor;
  }
}
