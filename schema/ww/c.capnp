# Names in generated C. Applied as:
#
#     using C = import "ww/c.capnp";
#     $C.prefix("ww_");

@0xb1f3c9a2d4e6581f;

annotation prefix @0xd3a1f0c2b4e5968f (file) :Text;
# What every name of the file begins with. Without it: the file's name and an underscore.

annotation name @0xc5e7a91b3d2f4680 (struct, enum, enumerant, field, interface, method, const, group) :Text;
# Replaces the own part of a name, where the schema's word does not suit C.
