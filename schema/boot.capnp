# What nodes say to each other before they are connected: signed packets over UDP.

@0xfa005a3c690f4a62;

using C = import "ww/c.capnp";
$C.prefix("ww_");

struct Packet {
  namespace @0 :Text;

  union {
    request :group {
      from @1 :Text;
    }

    survey :group {
      # Asks the nodes whose id is within `distance` of the sender's.

      from @2 :Text;
      distance @3 :UInt8;
    }

    response :group {
      peer @4 :Text;
      addrs @5 :List(Data);
      # Multiaddrs.
    }
  }
}
