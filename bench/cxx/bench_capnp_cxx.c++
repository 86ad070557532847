// bench_capnp_cxx: the cases of bench_capnp with the C++ implementation. Prints the same names, with the figure as "peer".
#include <capnp/message.h>
#include <capnp/serialize-packed.h>
#include <capnp/serialize.h>
#include <kj/io.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <vector>

#include "bench_capnp.capnp.h"

static const uint32_t CARS = 200;
static const size_t MIXED_BYTES = 1 << 20;

static double now()
{
    timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static volatile uint64_t sink;

static void build_book(AddressBook::Builder book)
{
    auto people = book.initPeople(2);
    auto alice = people[0];
    alice.setId(123);
    alice.setName("Alice");
    alice.setEmail("alice@example.com");
    auto phones = alice.initPhones(1);
    phones[0].setNumber("555-1212");
    phones[0].setType(Person::PhoneNumber::Type::MOBILE);
    alice.getEmployment().setSchool("MIT");
    auto bob = people[1];
    bob.setId(456);
    bob.setName("Bob");
    bob.setEmail("bob@example.com");
    auto more = bob.initPhones(2);
    more[0].setNumber("555-4567");
    more[0].setType(Person::PhoneNumber::Type::HOME);
    more[1].setNumber("555-7654");
    more[1].setType(Person::PhoneNumber::Type::WORK);
    bob.getEmployment().setUnemployed();
}

static uint64_t text_sum(capnp::Text::Reader text)
{
    return text.size() + (uint8_t)text[0];
}

static uint64_t walk_book(AddressBook::Reader book)
{
    uint64_t sum = 0;
    for (auto p : book.getPeople()) {
        sum += p.getId() + text_sum(p.getName()) + text_sum(p.getEmail());
        for (auto phone : p.getPhones())
            sum += text_sum(phone.getNumber()) + (uint16_t)phone.getType();
        auto e = p.getEmployment();
        switch (e.which()) {
        case Person::Employment::EMPLOYER:
            sum += text_sum(e.getEmployer());
            break;
        case Person::Employment::SCHOOL:
            sum += text_sum(e.getSchool());
            break;
        default:
            sum += 1;
        }
    }
    return sum;
}

static const char *const makes[] = {"Toyota", "GM", "Ford", "Honda", "Tesla"};
static const char *const models[] = {"Camry", "Prius", "Volt", "Accord", "Leaf", "Model S"};

static void build_lot(Lot::Builder lot)
{
    auto cars = lot.initCars(CARS);
    for (uint32_t i = 0; i < CARS; i++) {
        auto c = cars[i];
        c.setMake(makes[i % 5]);
        c.setModel(models[i % 6]);
        c.setColor((Car::Color)(i % 6));
        c.setSeats(2 + i % 6);
        c.setDoors(2 + i % 3);
        for (auto w : c.initWheels(4)) {
            w.setDiameter(25 + i % 15);
            w.setAirPressure(30 + (float)(i % 20));
            w.setSnowTires(i % 16 == 0);
        }
        c.setLength(170 + i % 150);
        c.setWidth(48 + i % 36);
        c.setHeight(54 + i % 48);
        c.setWeight(2000 + i);
        auto e = c.initEngine();
        e.setHorsepower(100 + i);
        e.setCylinders(4 + 2 * (i % 3));
        e.setCc(800 + i * 10);
        e.setUsesGas(true);
        e.setUsesElectric(i % 2);
        c.setFuelCapacity(10 + (float)(i % 30));
        c.setFuelLevel((float)(i % 10));
        c.setPowerWindows(i % 2);
        c.setPowerSteering(i % 3);
        c.setCruiseControl(i % 5);
        c.setCupHolders(i % 12);
        c.setNavigation(i % 7);
    }
}

static uint64_t walk_lot(Lot::Reader lot)
{
    uint64_t sum = 0;
    for (auto c : lot.getCars()) {
        sum += text_sum(c.getMake()) + text_sum(c.getModel()) + (uint16_t)c.getColor();
        sum += c.getSeats() + c.getDoors();
        for (auto w : c.getWheels())
            sum += w.getDiameter() + (uint64_t)w.getAirPressure() + w.getSnowTires();
        sum += (uint64_t)c.getLength() * c.getWidth() * c.getHeight() + c.getWeight();
        auto e = c.getEngine();
        sum += (uint64_t)e.getHorsepower() * 40 + e.getCylinders() + e.getCc() + e.getUsesGas() + e.getUsesElectric();
        sum += (uint64_t)c.getFuelCapacity() + (uint64_t)c.getFuelLevel();
        sum += c.getPowerWindows() + c.getPowerSteering() + c.getCruiseControl() + c.getCupHolders() + c.getNavigation();
    }
    return sum;
}

/* The words of bench_capnp. */
static void fill_mixed(uint64_t *out)
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
            w = (x & 0x1f1f1f1f1f1f1f1full) | 0x6060606060606060ull;
            break;
        case 3:
            w = x & (x >> 17 & 1 ? ~0ull : 0xff00ffff0000ffffull);
            break;
        }
        out[i] = w;
    }
}

static double best_ns(const std::function<void()> &run)
{
    uint64_t runs = 1;
    double best = 1e18;
    for (;; runs *= 2) {
        double start = now();
        for (uint64_t i = 0; i < runs; i++)
            run();
        if (now() - start >= 5e6)
            break;
    }
    for (int round = 0; round < 40; round++) {
        double start = now();
        for (uint64_t i = 0; i < runs; i++)
            run();
        best = std::min(best, (now() - start) / runs);
    }
    return best;
}

static const char *only;

static void report(const char *name, const char *unit, const std::function<void()> &run)
{
    if (only && !strstr(name, only))
        return;
    double ns = best_ns(run);
    double value = unit[0] == 'n' ? ns : unit[0] == 'u' ? ns / 1e3 : MIXED_BYTES / ns;
    printf("{\"name\":\"capnp/%s\",\"unit\":\"%s\",\"peer\":%.6g}\n", name, unit, value);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    only = argc > 1 ? argv[1] : nullptr;
    std::vector<capnp::word> scratch(1 << 16), space(1 << 16);
    memset(scratch.data(), 0, scratch.size() * 8);
    memset(space.data(), 0, space.size() * 8);
    auto first = kj::arrayPtr(scratch.data(), scratch.size());
    auto small = kj::arrayPtr(scratch.data(), 128);

    capnp::MallocMessageBuilder book, lot(1 << 15);
    build_book(book.initRoot<AddressBook>());
    build_lot(lot.initRoot<Lot>());
    auto book_words = capnp::messageToFlatArray(book);
    auto lot_words = capnp::messageToFlatArray(lot);

    report("address book, build", "ns", [&] {
        capnp::MallocMessageBuilder m(small);
        build_book(m.initRoot<AddressBook>());
    });
    report("address book, read", "ns", [&] {
        capnp::FlatArrayMessageReader m(book_words);
        sink = sink + walk_book(m.getRoot<AddressBook>());
    });
    report("200 cars, build", "us", [&] {
        capnp::MallocMessageBuilder m(first);
        build_lot(m.initRoot<Lot>());
    });
    report("200 cars, read", "us", [&] {
        capnp::FlatArrayMessageReader m(lot_words);
        sink = sink + walk_lot(m.getRoot<Lot>());
    });
    report("200 cars, deep copy", "us", [&] {
        capnp::FlatArrayMessageReader r(lot_words);
        capnp::MallocMessageBuilder m(first);
        m.setRoot(r.getRoot<Lot>());
    });
    report("200 cars, canonical form", "us", [&] {
        capnp::FlatArrayMessageReader r(lot_words);
        sink = sink + capnp::canonicalize(r.getRoot<Lot>()).size();
    });

    std::vector<uint64_t> mixed(MIXED_BYTES / 8), back(MIXED_BYTES / 8);
    std::vector<uint8_t> packed(MIXED_BYTES * 2);
    size_t packed_len = 0;
    fill_mixed(mixed.data());
    auto plain = kj::arrayPtr((const kj::byte *)mixed.data(), MIXED_BYTES);
    auto pack = [&] {
        kj::ArrayOutputStream out(kj::arrayPtr(packed.data(), packed.size()));
        capnp::_::PackedOutputStream(out).write(plain.begin(), plain.size());
        packed_len = out.getArray().size();
    };
    pack();
    report("pack 1 MiB", "GB/s", pack);
    report("unpack 1 MiB", "GB/s", [&] {
        kj::ArrayInputStream in(kj::arrayPtr(packed.data(), packed_len));
        capnp::_::PackedInputStream unpacker(in);
        unpacker.tryRead(back.data(), MIXED_BYTES, MIXED_BYTES);
    });
    if (!only && back != mixed)
        return 1;
    return 0;
}
