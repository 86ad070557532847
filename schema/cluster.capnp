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

  query @3 (query :Query, sink :Sink) -> (count :UInt64, examined :UInt64);
  # Records that match, in batches; returns when the sink got the last one. `count` is their number, `examined` how many
  # records the node looked at.

  watch @4 (query :Query, watcher :Watcher) -> ();
  # A standing query: first the records that match now, then each difference. Goes on until the call is cancelled. Order
  # and limit do not apply.

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

  # What follows came after the Go implementation; it knows neither `query` nor `watch`.

  enum Field {
    peer @0;
    # Base58 text.
    server @1;
    # 16 lower-case hex digits.
    host @2;
    meta @3;
    # The value of a key.
  }

  enum Comparison {
    prefix @0;
    equal @1;
    less @2;
    lessOrEqual @3;
    greater @4;
    greaterOrEqual @5;
    # Bytewise. On metadata: true when any value of the key satisfies it.
  }

  struct Filter {
    union {
      all @0 :Void;
      and @1 :List(Filter);
      or @2 :List(Filter);
      not @3 :Filter;
      compare :group {
        field @4 :Field;
        comparison @5 :Comparison;
        key @6 :Text;
        # Of metadata.
        value @7 :Text;
      }
    }
  }

  struct Query {
    filter @0 :Filter;
    ordered @1 :Bool;
    order @2 :Field;
    # Not metadata. Records without a host come before the others.
    descending @3 :Bool;
    countOnly @4 :Bool;
    # No batches, only the result's `count`.
    from @5 :Text;
    to @6 :Text;
    # Both inclusive, on the order's field (peer when not ordered). Null is open.
    limit @7 :UInt64;
    # 0 is none.
    projection @8 :UInt32;
    # Which fields of a row to fill: 1 peer, 2 server, 4 seq, 8 ttl, 16 host, 32 meta. 0 is all.
  }

  struct Row {
    peer @0 :Data;
    # Raw peer id.
    server @1 :UInt64;
    seq @2 :UInt64;
    ttl @3 :UInt32;
    # Milliseconds.
    host @4 :Text;
    meta @5 :List(UInt16);
    # Places in the `strings` that travel with the rows.
  }

  struct Batch {
    strings @0 :List(Text);
    # `key=value`, each once.
    rows @1 :List(Row);
  }

  interface Sink {
    batch @0 (batch :Batch) -> stream;
  }

  interface Watcher {
    update @0 (update :Update) -> stream;
  }

  struct Update {
    reset @0 :Bool;
    # Forget everything: the records that match now follow. Set in the first update, and when differences were lost
    # because the watcher was slow.
    ready @1 :Bool;
    # With this update the watcher knows all records that match.
    batch @2 :Batch;
    # Records that joined or changed. A peer is in one update once.
    left @3 :List(Data);
    # Raw peer ids.
  }
}
