/* bench_capnp: messages without RPC. An address book of 36 words and a parking lot of 200 cars are built and
 * read, every field of them; 1 MiB is packed and unpacked; a tree is copied and brought into canonical form.
 * Time is CPU time, the best of many rounds, so that a busy machine does not count. Prints one JSON object a
 * line; bench_capnp_cxx prints the same names for the C++ implementation. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/base.h"
#include "base/prng.h"
#include "bench_capnp.capnp.h"

#define MIXED_BYTES (1u << 20)
#define CARS 200

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * WW_NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench_capnp: %s\n", what);
    exit(1);
}

static volatile uint64_t sink;

/* ---- address book */

static void add_person(struct bench_Person_b p, uint32_t id, struct ww_bytes name, struct ww_bytes email)
{
    bench_Person_set_id(p, id);
    bench_Person_set_name(p, name);
    bench_Person_set_email(p, email);
}

static void add_phone(struct bench_Person_PhoneNumber_lb phones, uint32_t i, struct ww_bytes number,
    enum bench_Person_PhoneNumber_Type type)
{
    struct bench_Person_PhoneNumber_b phone = bench_Person_PhoneNumber_lb_at(phones, i);
    bench_Person_PhoneNumber_set_number(phone, number);
    bench_Person_PhoneNumber_set_type(phone, type);
}

static void build_book(struct ww_msg *m)
{
    struct bench_Person_lb people = bench_AddressBook_init_people(bench_AddressBook_b_root(m), 2);
    struct bench_Person_b alice = bench_Person_lb_at(people, 0);
    add_person(alice, 123, WW_BYTES_LIT("Alice"), WW_BYTES_LIT("alice@example.com"));
    add_phone(bench_Person_init_phones(alice, 1), 0, WW_BYTES_LIT("555-1212"),
        bench_Person_PhoneNumber_Type_mobile);
    bench_Person_employment_set_school(bench_Person_get_employment(alice), WW_BYTES_LIT("MIT"));
    struct bench_Person_b bob = bench_Person_lb_at(people, 1);
    add_person(bob, 456, WW_BYTES_LIT("Bob"), WW_BYTES_LIT("bob@example.com"));
    struct bench_Person_PhoneNumber_lb phones = bench_Person_init_phones(bob, 2);
    add_phone(phones, 0, WW_BYTES_LIT("555-4567"), bench_Person_PhoneNumber_Type_home);
    add_phone(phones, 1, WW_BYTES_LIT("555-7654"), bench_Person_PhoneNumber_Type_work);
    bench_Person_employment_set_unemployed(bench_Person_get_employment(bob));
}

static uint64_t text_sum(struct ww_bytes text)
{
    return text.len + text.ptr[0];
}

static uint64_t walk_book(struct bench_AddressBook_r book)
{
    uint64_t sum = 0;
    struct bench_Person_l people = bench_AddressBook_people(book);
    for (uint32_t i = 0; i < people.l.count; i++) {
        struct bench_Person_r p = bench_Person_l_at(people, i);
        sum += bench_Person_id(p) + text_sum(bench_Person_name(p)) + text_sum(bench_Person_email(p));
        struct bench_Person_PhoneNumber_l phones = bench_Person_phones(p);
        for (uint32_t j = 0; j < phones.l.count; j++) {
            struct bench_Person_PhoneNumber_r phone = bench_Person_PhoneNumber_l_at(phones, j);
            sum += text_sum(bench_Person_PhoneNumber_number(phone)) + bench_Person_PhoneNumber_type(phone);
        }
        struct bench_Person_employment_r e = bench_Person_employment(p);
        switch (bench_Person_employment_which(e)) {
        case bench_Person_employment_which_employer:
            sum += text_sum(bench_Person_employment_employer(e));
            break;
        case bench_Person_employment_which_school:
            sum += text_sum(bench_Person_employment_school(e));
            break;
        default:
            sum += 1;
        }
    }
    return sum;
}

/* ---- parking lot */

static const char *const makes[] = {"Toyota", "GM", "Ford", "Honda", "Tesla"};
static const char *const models[] = {"Camry", "Prius", "Volt", "Accord", "Leaf", "Model S"};

static void build_lot(struct ww_msg *m, uint32_t count)
{
    struct bench_Car_lb cars = bench_Lot_init_cars(bench_Lot_b_root(m), count);
    for (uint32_t i = 0; i < count; i++) {
        struct bench_Car_b c = bench_Car_lb_at(cars, i);
        bench_Car_set_make(c, ww_bytes_str(makes[i % 5]));
        bench_Car_set_model(c, ww_bytes_str(models[i % 6]));
        bench_Car_set_color(c, (enum bench_Car_Color)(i % 6));
        bench_Car_set_seats(c, (uint8_t)(2 + i % 6));
        bench_Car_set_doors(c, (uint8_t)(2 + i % 3));
        struct bench_Car_Wheel_lb wheels = bench_Car_init_wheels(c, 4);
        for (uint32_t k = 0; k < 4; k++) {
            struct bench_Car_Wheel_b w = bench_Car_Wheel_lb_at(wheels, k);
            bench_Car_Wheel_set_diameter(w, (uint16_t)(25 + i % 15));
            bench_Car_Wheel_set_airPressure(w, 30 + (float)(i % 20));
            bench_Car_Wheel_set_snowTires(w, i % 16 == 0);
        }
        bench_Car_set_length(c, (uint16_t)(170 + i % 150));
        bench_Car_set_width(c, (uint16_t)(48 + i % 36));
        bench_Car_set_height(c, (uint16_t)(54 + i % 48));
        bench_Car_set_weight(c, 2000 + i);
        struct bench_Car_Engine_b e = bench_Car_init_engine(c);
        bench_Car_Engine_set_horsepower(e, (uint16_t)(100 + i));
        bench_Car_Engine_set_cylinders(e, (uint8_t)(4 + 2 * (i % 3)));
        bench_Car_Engine_set_cc(e, 800 + i * 10);
        bench_Car_Engine_set_usesGas(e, true);
        bench_Car_Engine_set_usesElectric(e, i % 2);
        bench_Car_set_fuelCapacity(c, 10 + (float)(i % 30));
        bench_Car_set_fuelLevel(c, (float)(i % 10));
        bench_Car_set_powerWindows(c, i % 2);
        bench_Car_set_powerSteering(c, i % 3);
        bench_Car_set_cruiseControl(c, i % 5);
        bench_Car_set_cupHolders(c, (uint8_t)(i % 12));
        bench_Car_set_navigation(c, i % 7);
    }
}

static uint64_t walk_lot(struct bench_Lot_r lot)
{
    uint64_t sum = 0;
    struct bench_Car_l cars = bench_Lot_cars(lot);
    for (uint32_t i = 0; i < cars.l.count; i++) {
        struct bench_Car_r c = bench_Car_l_at(cars, i);
        sum += text_sum(bench_Car_make(c)) + text_sum(bench_Car_model(c)) + bench_Car_color(c);
        sum += bench_Car_seats(c) + (uint64_t)bench_Car_doors(c);
        struct bench_Car_Wheel_l wheels = bench_Car_wheels(c);
        for (uint32_t k = 0; k < wheels.l.count; k++) {
            struct bench_Car_Wheel_r w = bench_Car_Wheel_l_at(wheels, k);
            sum += bench_Car_Wheel_diameter(w) + (uint64_t)bench_Car_Wheel_airPressure(w) +
                bench_Car_Wheel_snowTires(w);
        }
        sum += (uint64_t)bench_Car_length(c) * bench_Car_width(c) * bench_Car_height(c) + bench_Car_weight(c);
        struct bench_Car_Engine_r e = bench_Car_engine(c);
        sum += (uint64_t)bench_Car_Engine_horsepower(e) * 40 + bench_Car_Engine_cylinders(e) +
            bench_Car_Engine_cc(e) + bench_Car_Engine_usesGas(e) + bench_Car_Engine_usesElectric(e);
        sum += (uint64_t)bench_Car_fuelCapacity(c) + (uint64_t)bench_Car_fuelLevel(c);
        sum += bench_Car_powerWindows(c) + bench_Car_powerSteering(c) + bench_Car_cruiseControl(c) +
            bench_Car_cupHolders(c) + bench_Car_navigation(c);
    }
    return sum;
}

/* ---- cases: each works on these */

struct bench {
    struct ww_msg book, lot, work, read;
    uint8_t book_mem[1024];
    struct ww_bytes book_frame, lot_frame;
    uint8_t *mixed, *packed, *unpacked;
    size_t packed_len;
};

static void case_build(struct bench *b)
{
    ww_msg_reset(&b->book);
    build_book(&b->book);
    must(ww_msg_err(&b->book) == 0, "address book");
}

static void case_walk(struct bench *b)
{
    must(ww_msg_open(&b->read, b->book_frame, NULL) == 0, "open");
    sink += walk_book(bench_AddressBook_r_root(&b->read));
    must(ww_msg_err(&b->read) == 0, "walk");
}

static void case_build_lot(struct bench *b)
{
    ww_msg_reset(&b->lot);
    build_lot(&b->lot, CARS);
}

static void case_walk_lot(struct bench *b)
{
    must(ww_msg_open(&b->read, b->lot_frame, NULL) == 0, "open");
    sink += walk_lot(bench_Lot_r_root(&b->read));
    must(ww_msg_err(&b->read) == 0, "walk");
}

static void case_copy(struct bench *b)
{
    must(ww_msg_open(&b->read, b->lot_frame, NULL) == 0, "open");
    ww_msg_reset(&b->work);
    ww_pb_set(ww_msg_root_builder(&b->work), ww_msg_root(&b->read));
    must(ww_msg_err(&b->work) == 0, "copy");
}

static void case_canonicalize(struct bench *b)
{
    must(ww_msg_open(&b->read, b->lot_frame, NULL) == 0, "open");
    must(ww_msg_canonicalize(&b->work, ww_msg_root(&b->read)) == 0, "canonicalize");
}

static void case_pack(struct bench *b)
{
    b->packed_len = ww_pack(ww_bytes(b->mixed, MIXED_BYTES), b->packed);
}

static void case_unpack(struct bench *b)
{
    must(ww_unpack(ww_bytes(b->packed, b->packed_len), b->unpacked, MIXED_BYTES) == 0, "unpack");
}

/* Four kinds of blocks of 512 bytes, as messages have them: zeroes, small numbers, text, noise. The twin
 * makes the same. */
static void fill_mixed(uint8_t *out)
{
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < MIXED_BYTES / 8; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        uint64_t w = 0;
        switch (i / 64 % 4) {
        case 1:
            w = (x & 0xffff) | (x >> 20 & 0xff) << 32;
            break;
        case 2:
            w = (x & UINT64_C(0x1f1f1f1f1f1f1f1f)) | UINT64_C(0x6060606060606060);
            break;
        case 3:
            w = x & (x >> 17 & 1 ? UINT64_MAX : UINT64_C(0xff00ffff0000ffff));
            break;
        default:
            break;
        }
        ww_store64_(out + i * 8, w);
    }
}

/* Nanoseconds of one run: the best of 40 rounds of about 5 ms. */
static double best_ns(struct bench *b, void (*run)(struct bench *b))
{
    uint64_t runs = 1, took;
    double best = 1e18;
    for (;; runs *= 2) {
        uint64_t start = now_ns();
        for (uint64_t i = 0; i < runs; i++)
            run(b);
        took = now_ns() - start;
        if (took >= 5 * WW_NS_PER_MS)
            break;
    }
    for (int round = 0; round < 40; round++) {
        uint64_t start = now_ns();
        for (uint64_t i = 0; i < runs; i++)
            run(b);
        took = now_ns() - start;
        best = (double)took / (double)runs < best ? (double)took / (double)runs : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    static struct bench b;
    static const struct {
        const char *name, *unit;
        void (*run)(struct bench *b);
    } cases[] = {
        {"capnp/address book, build", "ns", case_build},
        {"capnp/address book, read", "ns", case_walk},
        {"capnp/200 cars, build", "us", case_build_lot},
        {"capnp/200 cars, read", "us", case_walk_lot},
        {"capnp/200 cars, deep copy", "us", case_copy},
        {"capnp/200 cars, canonical form", "us", case_canonicalize},
        {"capnp/pack 1 MiB", "GB/s", case_pack},
        {"capnp/unpack 1 MiB", "GB/s", case_unpack},
    };
    ww_msg_init_mem(&b.book, NULL, b.book_mem, sizeof b.book_mem);
    ww_msg_init(&b.lot, NULL);
    ww_msg_init(&b.work, NULL);
    ww_msg_init(&b.read, NULL);
    b.mixed = ww_alloc(MIXED_BYTES);
    b.unpacked = ww_alloc(MIXED_BYTES);
    b.packed = ww_alloc(ww_pack_bound(MIXED_BYTES));
    must(b.mixed && b.unpacked && b.packed, "memory");
    fill_mixed(b.mixed);
    case_build(&b);
    b.book_frame = ww_msg_frame(&b.book);
    build_lot(&b.lot, CARS);
    case_build_lot(&b);
    b.lot_frame = ww_msg_frame(&b.lot);
    must(b.lot_frame.ptr, "one segment");
    for (size_t i = 0; i < WW_COUNT_OF(cases); i++) {
        if (argc > 1 && !strstr(cases[i].name, argv[1]))
            continue;
        double ns = best_ns(&b, cases[i].run);
        double value = cases[i].unit[0] == 'n' ? ns : cases[i].unit[0] == 'u' ? ns / 1e3 : MIXED_BYTES / ns;
        printf("{\"name\":\"%s\",\"unit\":\"%s\",\"ours\":%.6g}\n", cases[i].name, cases[i].unit, value);
        fflush(stdout);
    }
    must(memcmp(b.mixed, b.unpacked, MIXED_BYTES) == 0 || argc > 1, "packing changed the bytes");
    return 0;
}
