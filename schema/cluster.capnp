# The cluster as one node knows it: heartbeats, and the view over the routing table that they fill.

@0xfcf6ac08e448a6ac;

using C = import "ww/c.capnp";
$C.prefix("ww_");

struct Heartbeat {
  # Announced by every node; a record lives as long as the last one says.

  ttl @0 :UInt32;
  # Milliseconds.

  server @1 :UInt64;
  # Changes when the node starts again.

  host @2 :Text;
  meta @3 :List(Text);
  # `key=value` each.
}

interface View {
  lookup @0 (selector :Selector, constraints :List(Constraint)) -> (result :MaybeRecord);
  # The first match.

  iter @1 (handler :Handler, selector :Selector, constraints :List(Constraint)) -> ();
  # Every match, in the order of the index; returns when the handler got the last one.

  reverse @2 () -> (view :View);
  # The same records, last first.

  interface Handler {
    recv @0 (record :Record) -> stream;
  }

  struct Selector {
    union {
      all @0 :Void;
      match @1 :Index;
      from @2 :Index;
      # This record and those behind it in the index.
    }
  }

  struct Constraint {
    union {
      limit @0 :UInt64;
      to @1 :Index;
      # Ends behind the records that match.
    }
  }

  struct Index {
    prefix @0 :Bool;
    # Match every key that begins with this one.

    union {
      peer @1 :Text;
      server @2 :Data;
      host @3 :Text;
      meta @4 :Text;
    }
  }

  struct Record {
    peer @0 :Text;
    server @1 :UInt64;
    seq @2 :UInt64;
    heartbeat @3 :Heartbeat;
  }

  struct MaybeRecord {
    union {
      nothing @0 :Void;
      just @1 :Record;
    }
  }
}
