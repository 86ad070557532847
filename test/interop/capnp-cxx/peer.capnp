# What both sides of the test offer. Parameters and results have one layout, so that the C side needs no generated code.
@0xc5b9f3c1a7e2d011;

struct Pack {
    value @0 :UInt64;
    cap @1 :Peer;
}

interface Peer @0xfeedfacecafe0001 {
    echo @0 (value :UInt64, cap :Peer) -> (value :UInt64, cap :Peer);
    fail @1 (value :UInt64, cap :Peer) -> (value :UInt64, cap :Peer);
    keep @2 (value :UInt64, cap :Peer) -> (value :UInt64, cap :Peer);
    give @3 (value :UInt64, cap :Peer) -> (value :UInt64, cap :Peer);
    call @4 (value :UInt64, cap :Peer) -> (value :UInt64, cap :Peer);
    later @5 (value :UInt64, cap :Peer) -> (value :UInt64, cap :Peer);
    push @6 (value :UInt64, cap :Peer) -> stream;
    count @7 (value :UInt64, cap :Peer) -> (value :UInt64, cap :Peer);
    make @8 (value :UInt64, cap :Peer) -> (value :UInt64, cap :Peer);
    echoCap @9 (value :UInt64, cap :Peer) -> (value :UInt64, cap :Peer);

    # Only the C++ side: objects alive, calls cancelled, and its own tests of the C side (0: passed).
    live @10 (value :UInt64, cap :Peer) -> (value :UInt64, cap :Peer);
    canceled @11 (value :UInt64, cap :Peer) -> (value :UInt64, cap :Peer);
    drive @12 (value :UInt64, cap :Peer) -> (value :UInt64, cap :Peer);
}

interface Stranger @0xfeedfacecafe0002 {
    nothing @0 ();
}
