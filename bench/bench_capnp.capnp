@0xd1f7a9c35e0b2486;

# What the message benchmarks build and read; the C++ twin uses the same.

using C = import "/ww/c.capnp";
$C.prefix("bench_");

struct Person {
  id @0 :UInt32;
  name @1 :Text;
  email @2 :Text;
  phones @3 :List(PhoneNumber);

  struct PhoneNumber {
    number @0 :Text;
    type @1 :Type;

    enum Type {
      mobile @0;
      home @1;
      work @2;
    }
  }

  employment :union {
    unemployed @4 :Void;
    employer @5 :Text;
    school @6 :Text;
    selfEmployed @7 :Void;
  }
}

struct AddressBook {
  people @0 :List(Person);
}

struct Lot {
  cars @0 :List(Car);
}

struct Car {
  make @0 :Text;
  model @1 :Text;
  color @2 :Color;
  seats @3 :UInt8;
  doors @4 :UInt8;
  wheels @5 :List(Wheel);
  length @6 :UInt16;
  width @7 :UInt16;
  height @8 :UInt16;
  weight @9 :UInt32;
  engine @10 :Engine;
  fuelCapacity @11 :Float32;
  fuelLevel @12 :Float32;
  powerWindows @13 :Bool;
  powerSteering @14 :Bool;
  cruiseControl @15 :Bool;
  cupHolders @16 :UInt8;
  navigation @17 :Bool;

  enum Color {
    black @0;
    white @1;
    red @2;
    green @3;
    blue @4;
    silver @5;
  }

  struct Wheel {
    diameter @0 :UInt16;
    airPressure @1 :Float32;
    snowTires @2 :Bool;
  }

  struct Engine {
    horsepower @0 :UInt16;
    cylinders @1 :UInt8;
    cc @2 :UInt32;
    usesGas @3 :Bool;
    usesElectric @4 :Bool;
  }
}
