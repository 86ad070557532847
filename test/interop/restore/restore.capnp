# What both sides of the test of references offer: counters that outlive their process, and whoever names an owner is believed.
@0xf32be67d89bfebcc;

using import "/ww/persist.capnp".Restorer;

interface Vault @0xaa6da1d45a0c8b8d {
    counter @0 (name :Text) -> (counter :Counter); # Persistent(Data, Data) as well; names with "brief" give references for 60 s
    login @1 (name :Text) -> (restorer :Restorer(Data));
}

interface Counter {
    add @0 (n :UInt64) -> (sum :UInt64);
}
