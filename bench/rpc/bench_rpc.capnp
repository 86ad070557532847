@0xe0f7c6f1ce9a5b11;

interface Bench @0xb7a1d6e2f0c94a01 {
    ping @0 (n :UInt64) -> (n :UInt64);
    echo @1 (data :Data) -> (data :Data);
    push @2 (data :Data) -> stream;
    done @3 () -> (count :UInt64);
    next @4 () -> (next :Bench);
    caps @5 (count :UInt32) -> (caps :List(Bench));
    # Each a new object.
}
