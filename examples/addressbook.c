/* Writes an address book to standard output, or reads one from standard input.
 *
 *     addressbook write > book          addressbook write --packed > book.packed
 *     addressbook read < book           addressbook read --packed < book.packed
 *
 *     cc addressbook.c addressbook.capnp.c $(pkg-config --cflags --libs ww-capnp) -o addressbook
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addressbook.capnp.h"

static int fail(const char *what, ww_err err)
{
    fprintf(stderr, "addressbook: %s: %s\n", what, ww_err_text(err));
    return 1;
}

/* ---- writing */

static void add_phone(struct addressbook_Person_PhoneNumber_b phone, const char *number,
    enum addressbook_Person_PhoneNumber_Type type)
{
    addressbook_Person_PhoneNumber_set_number(phone, ww_text(number));
    addressbook_Person_PhoneNumber_set_type(phone, type);
}

static void build(struct ww_msg *msg)
{
    struct addressbook_AddressBook_b book = addressbook_AddressBook_b_root(msg);
    struct addressbook_Person_lb people = addressbook_AddressBook_init_people(book, 2);

    struct addressbook_Person_b alice = addressbook_Person_lb_at(people, 0);
    addressbook_Person_set_id(alice, 123);
    addressbook_Person_set_name(alice, ww_text("Alice"));
    addressbook_Person_set_email(alice, ww_text("alice@example.com"));
    struct addressbook_Person_PhoneNumber_lb phones = addressbook_Person_init_phones(alice, 1);
    add_phone(addressbook_Person_PhoneNumber_lb_at(phones, 0), "555-1212",
        addressbook_Person_PhoneNumber_Type_mobile);
    addressbook_Person_employment_set_school(addressbook_Person_get_employment(alice), ww_text("MIT"));

    struct addressbook_Person_b bob = addressbook_Person_lb_at(people, 1);
    addressbook_Person_set_id(bob, 456);
    addressbook_Person_set_name(bob, ww_text("Bob"));
    addressbook_Person_set_email(bob, ww_text("bob@example.com"));
    phones = addressbook_Person_init_phones(bob, 2);
    add_phone(addressbook_Person_PhoneNumber_lb_at(phones, 0), "555-4567",
        addressbook_Person_PhoneNumber_Type_home);
    add_phone(addressbook_Person_PhoneNumber_lb_at(phones, 1), "555-7654",
        addressbook_Person_PhoneNumber_Type_work);
    addressbook_Person_employment_set_unemployed(addressbook_Person_get_employment(bob));
}

static int write_book(bool packed)
{
    struct ww_msg msg;
    ww_msg_init(&msg, NULL);
    build(&msg);
    size_t size = packed ? ww_msg_pack_bound(&msg) : ww_msg_frame_bytes(&msg);
    uint8_t *bytes = malloc(size);
    if (bytes && packed)
        size = ww_msg_pack(&msg, bytes);
    else if (bytes)
        ww_msg_frame_write(&msg, bytes);
    ww_err err = bytes ? ww_msg_err(&msg) : WW_ENOMEM; /* of everything above, once */
    if (err == 0 && (fwrite(bytes, 1, size, stdout) != size || fflush(stdout) != 0))
        err = WW_EIO;
    free(bytes);
    ww_msg_fini(&msg);
    return err < 0 ? fail("cannot write", err) : 0;
}

/* ---- reading */

static void print_employment(struct addressbook_Person_employment_r employment)
{
    switch (addressbook_Person_employment_which(employment)) {
    case addressbook_Person_employment_which_unemployed:
        printf("  unemployed\n");
        break;
    case addressbook_Person_employment_which_employer:
        printf("  employer: %s\n", ww_cstr(addressbook_Person_employment_employer(employment)));
        break;
    case addressbook_Person_employment_which_school:
        printf("  student at: %s\n", ww_cstr(addressbook_Person_employment_school(employment)));
        break;
    case addressbook_Person_employment_which_selfEmployed:
        printf("  self-employed\n");
        break;
    default:
        printf("  something newer than this program\n");
    }
}

static void print_person(struct addressbook_Person_r person)
{
    static const char *const types[] = {"mobile", "home", "work"};
    printf("%s: %s\n", ww_cstr(addressbook_Person_name(person)), ww_cstr(addressbook_Person_email(person)));
    struct addressbook_Person_PhoneNumber_l phones = addressbook_Person_phones(person);
    for (uint32_t i = 0; i < phones.l.count; i++) {
        struct addressbook_Person_PhoneNumber_r phone = addressbook_Person_PhoneNumber_l_at(phones, i);
        unsigned type = (unsigned)addressbook_Person_PhoneNumber_type(phone);
        printf("  %s phone: %s\n", type < 3 ? types[type] : "unknown",
            ww_cstr(addressbook_Person_PhoneNumber_number(phone)));
    }
    print_employment(addressbook_Person_employment(person));
}

/* A whole message from standard input, in whatever pieces it comes. */
static int read_book(bool packed)
{
    struct ww_frame_in in;
    struct ww_msg msg;
    uint8_t chunk[4096];
    struct ww_bytes rest = {0}, frame = {0};
    ww_err err = WW_EAGAIN;
    ww_frame_in_init(&in, packed, &ww_msg_limits_default);
    ww_msg_init(&msg, NULL);
    while (err == WW_EAGAIN) {
        rest.ptr = chunk;
        rest.len = fread(chunk, 1, sizeof chunk, stdin);
        err = rest.len == 0 ? WW_ETRUNC : ww_frame_in_feed(&in, &rest, &frame);
    }
    if (err == 0)
        err = ww_msg_open(&msg, frame, &ww_msg_limits_default);
    if (err == 0) {
        struct addressbook_Person_l people =
            addressbook_AddressBook_people(addressbook_AddressBook_r_root(&msg));
        for (uint32_t i = 0; i < people.l.count; i++)
            print_person(addressbook_Person_l_at(people, i));
        err = ww_msg_err(&msg);
    }
    ww_msg_fini(&msg);
    ww_frame_in_fini(&in);
    return err < 0 ? fail("cannot read", err) : 0;
}

int main(int argc, char **argv)
{
    bool packed = argc == 3 && strcmp(argv[2], "--packed") == 0;
    if (argc == 2 || packed) {
        if (strcmp(argv[1], "write") == 0)
            return write_book(packed);
        if (strcmp(argv[1], "read") == 0)
            return read_book(packed);
    }
    bool help = argc == 2 && strcmp(argv[1], "--help") == 0;
    fprintf(help ? stdout : stderr,
        "usage: addressbook write|read [--packed]\n"
        "Writes an address book to standard output, or prints one from standard input.\n");
    return help ? 0 : 2;
}
