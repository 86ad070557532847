# How the holder of a reference that Persistent.save gave out (capnp/persistent.capnp) gets the object back.
#
# The standard has only that half: which object takes a SturdyRef, and how its host knows who asks, it leaves to each realm.
# This is the other half, for whoever has no reason to make up one of their own. Any implementation can generate code of it; it
# imports c.capnp, beside it, for its names in C alone. In C it is generated already: ww/persist.capnp.rpc.h, in libww-capnp;
# ww/persist.h makes a Restorer out of a table of references.

@0x8b277fa41947d8bf;

using C = import "/ww/c.capnp";
$C.prefix("ww_");

interface Restorer@0xf82065c5f4d8685f (SturdyRef) {
    # Belongs to one owner: its host made sure who that is before it gave the Restorer away (at a login, say), so no call names
    # an owner. References that were saved with `sealFor` null are for everybody who has a Restorer of that host.
    #
    # SturdyRef is the realm's. That of ww/persist.h is Data of 49 bytes, with Data for an Owner: `Restorer(Data)`.

    restore @0 (ref :SturdyRef) -> (cap :Capability);
    # The object, alive again: the same one as before, in whatever way objects are the same where it lives. The reference stays
    # good, and may be restored any number of times, over any connection, also after a restart of the host.
    #
    # Fails with the kind `failed` and the same text for every reference that leads to nothing: forged, changed, expired,
    # revoked, sealed for another owner. Which of these it is, is not said, for that would help only those who guess. What is
    # no reference of this realm at all, by its type or its length, fails with a text of its own. An object that cannot be had
    # at present fails with the kind that its host chose: `overloaded` and `disconnected` are worth another try.

    revoke @1 (ref :SturdyRef) -> ();
    # The reference leads to nothing from now on, for anybody: for references that are needed no longer, or have got into wrong
    # hands. Others to the same object are not touched, nor is an object that was restored already. Fails as `restore` does;
    # a reference that has expired may be revoked.
}
