# The part of the cluster's schemas that every generation speaks, with the annotations of the Go generator.
# Ids and ordinals as in schema/{cluster,core}.capnp; test/interop compares them.
@0xd7c52f65ab7b4bd3;

using Go = import "/go.capnp";
$Go.package("api");
$Go.import("wetware.invalid/interop/api");

struct Heartbeat @0xa97471079836f720 {
    ttl @0 :UInt32;
    server @1 :UInt64;
    host @2 :Text;
    meta @3 :List(Text);
}

interface View @0x8a1df0335afc249a {
    lookup @0 (selector :Selector, constraints :List(Constraint)) -> (result :MaybeRecord);
    iter @1 (handler :Handler, selector :Selector, constraints :List(Constraint)) -> ();
    reverse @2 () -> (view :View);

    interface Handler @0xee93a663b2a23c03 {
        recv @0 (record :Record) -> stream;
    }

    struct Selector @0xb2029ff7b712d18a {
        union {
            all @0 :Void;
            match @1 :Index;
            from @2 :Index;
        }
    }

    struct Constraint @0xab133d2062f6cc53 {
        union {
            limit @0 :UInt64;
            to @1 :Index;
        }
    }

    struct Index @0xcc2d04cc26d4f6a5 {
        prefix @0 :Bool;
        union {
            peer @1 :Text;
            server @2 :Data;
            host @3 :Text;
            meta @4 :Text;
        }
    }

    struct Record @0xcdcf42beb2537d20 {
        peer @0 :Text;
        server @1 :UInt64;
        seq @2 :UInt64;
        heartbeat @3 :Heartbeat;
    }

    struct MaybeRecord @0xd6a4f298bc0e2304 {
        union {
            nothing @0 :Void;
            just @1 :Record;
        }
    }
}

struct Session @0xc65521f186b6e059 {
    view @0 :View;
    local :group {
        peer @1 :Text;
        server @2 :UInt64;
        host @3 :Text;
    }
}

interface Signer @0xfdfb2b517fd7915f {
    sign @0 (challenge :Data) -> (signed :Data);
}

interface Terminal @0xc0c1a3f1fdbabdfd {
    login @0 (account :Signer) -> (session :Session);
}
