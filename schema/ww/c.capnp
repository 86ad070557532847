# How capnpc-ww makes C of a schema. Applied as:
#
#     using C = import "/ww/c.capnp";
#     $C.prefix("ww_");

@0xb1f3c9a2d4e6581f;

annotation prefix @0xd3a1f0c2b4e5968f (file) :Text;
# What every name of the file begins with. Without it: the file's name and an underscore.

annotation name @0xc5e7a91b3d2f4680 (struct, enum, enumerant, field, interface, method, const, group) :Text;
# Replaces the own part of a name, where the schema's word does not suit C.

annotation skip @0xe27b90d4a16c583f (struct, enum, interface, const, field, group) :Void;
# No C is made of this, of what lies in it, and of fields of this type. Its place on the wire and its embedded schema stay.

annotation allowCancellation @0x9d48c6e31f7ab205 (file, interface, method) :Void;
# A caller that loses interest may cancel these calls while their handler runs; without it, a call that began is finished.
# The annotation of this name in /capnp/c++.capnp means the same.
