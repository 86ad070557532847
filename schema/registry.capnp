# Services: where to find who provides them.

@0xfcba4f486a351ac3;

using C = import "ww/c.capnp";
$C.prefix("ww_");

using PubSub = import "pubsub.capnp";
using Channel = import "channel.capnp";

interface Registry {
  provide @0 (topic :PubSub.Topic, envelope :Data) -> ();
  # Answers requests on `topic` with the signed Location in `envelope`, until it is cancelled.

  findProviders @1 (topic :PubSub.Topic, chan :Channel.Sender(Data)) -> ();
}

struct Location {
  service @0 :Text;
  meta @1 :List(Text);

  union {
    maddrs @2 :List(Data);
    anchor @3 :Text;
    custom @4 :AnyPointer;
  }
}

struct Message {
  union {
    request @0 :Void;
    response @1 :Data;
    # A signed envelope with a Location.
  }
}
