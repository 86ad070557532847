# Files in pieces, either way, under flow control.

@0xa8c5f2e97b1d3064;

interface Store {
    upload @0 (name :Text) -> (sink :Sink, offset :UInt64);
    # The store has `offset` bytes of it already: send what follows. A file that is not done stays, as "NAME.part".

    download @1 (name :Text, offset :UInt64, sink :Sink) -> ();
    # Writes to `sink` from `offset` on and calls its `done`; returns when that has returned.
}

interface Sink {
    write @0 (bytes :Data) -> stream;

    done @1 (size :UInt64, checksum :UInt64) -> ();
    # Size and checksum of the whole file. Fails when they are not those of what was received.
}
