# What every side of the conversations offers. All parameters and results have the layout of a Note, so that a client can
# run the shared list of cases without knowing the methods' types.
@0xc5b9f3c1a7e2d011;

struct Note {
    value @0 :UInt64;
    via @1 :UInt16; # call, tail: the method of Thing to call
    data @2 :Data;
    cap @3 :Thing;
}

interface Base @0xfeedfacecafe0010 {
    base @0 Note -> Note; # value + 100
}
interface Left @0xfeedfacecafe0011 extends(Base) {
    left @0 Note -> Note; # value + 200
}
interface Right @0xfeedfacecafe0012 extends(Base) {
    right @0 Note -> Note; # value + 300
}
interface Box @0xfeedfacecafe0013 (T) {
    put @0 (content :T);
    get @1 () -> (content :T);
}

# What the standard Persistent(Data, Data) of capnp/persistent.capnp is on the wire.
interface Saver @0xc8cb212fcd9f5691 {
    save @0 (sealFor :Data) -> (sturdyRef :Data);
}

# Each connection starts with a fresh Thing as bootstrap capability.
interface Thing @0xfeedfacecafe0001 extends(Left, Right, Box(Data), Saver) {
    echo @0 Note -> Note;     # value and data; remembers the value
    fail @1 Note -> Note;     # exception of the kind 0 failed, 1 overloaded, 2 disconnected, 3 unimplemented: "asked to fail"
    keep @2 Note -> Note;     # keeps cap instead of what was kept
    give @3 Note -> Note;     # the kept capability
    call @4 Note -> Note;     # calls `via` on the kept capability with value and cap, answers with its answer
    make @5 Note -> Note;     # a new Thing
    self @6 Note -> Note;     # this Thing
    mirror @7 Note -> Note;   # the capability that came
    later @8 Note -> Note;    # answers at the next `go`; can be cancelled, and then drops its parameters
    go @9 Note -> Note;       # completes all that wait here, with value and cap
    sequence @10 Note -> Note;  # 0, 1, 2, ...
    push @11 Note -> stream;  # remembers the value; fails for 666
    seen @12 Note -> Note;    # the remembered values, a byte each
    live @13 Note -> Note;    # Things alive in this process
    canceled @14 Note -> Note;  # calls of `later` and `early` that were cancelled here
    tail @15 Note -> Note;    # the same as `call`, by a tail call where the language has one
    promise @16 Note -> Note; # a capability that leads nowhere before `settle`
    settle @17 Note -> Note;  # resolves that promise to cap, or rejects it when value is 1: "asked to reject"
    early @18 Note -> Note;   # offers a new Thing to pipelined calls at once, answers with it at the next `go`
    size @19 Note -> Note;    # so many bytes of data
    waiting @20 Note -> Note; # calls of `later` and `early` that wait here
    hangup @21 Note -> Note;  # ends the connection without an answer
}

interface Stranger @0xfeedfacecafe0002 {
    nothing @0 Note -> Note;
}
