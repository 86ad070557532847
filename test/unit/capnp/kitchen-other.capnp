# Imports the file that imports it.

@0xe0d4a7b3c2916f58;

using Kitchen = import "kitchen.capnp";

struct Remote {
  point @0 :Kitchen.Point;
  color @1 :Kitchen.Color = green;
  back @2 :Kitchen.Pointers;
}
