# The address book that Cap'n Proto introduces itself with: ids and ordinals are those of its public sample, so
# that files written here can be read there, and by `capnp decode`.

@0x9eb32e19f86ee174;

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
