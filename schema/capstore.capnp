# Capabilities by name.

@0xbbe22aa2756d2943;

using C = import "ww/c.capnp";
$C.prefix("ww_");

interface CapStore {
  set @0 (id :Text, cap :Capability) -> ();
  get @1 (id :Text) -> (cap :Capability);
}
