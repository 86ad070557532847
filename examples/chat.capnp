# A room where people talk. The server calls the clients: each brings an object that hears what is said.

@0xd1f1a6b2c03e4795;

interface Room {
    join @0 (name :Text, listener :Listener) -> (seat :Seat);
    # Fails when the name is empty, long, or taken. Whoever lets go of the seat, or loses the connection, has left.

    who @1 () -> (names :List(Text));
}

interface Seat {
    say @0 (text :Text) -> ();
}

interface Listener {
    joined @0 (name :Text) -> ();
    said @1 (name :Text, text :Text) -> ();
    left @2 (name :Text) -> ();
}
