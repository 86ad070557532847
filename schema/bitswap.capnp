# Blocks by content.

@0xced7a3b0e18b5291;

using C = import "ww/c.capnp";
$C.prefix("ww_");

interface BitSwap {
  getBlock @0 (key :Data) -> (block :Data);
  # `key` is a CID.
}
