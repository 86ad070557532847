// The C++ side of the test: serves Peer on the socket whose number is its argument, and on request drives the other side.
#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>
#include <kj/debug.h>

#include <cstdio>
#include <cstdlib>

#include "peer.capnp.h"

static uint64_t liveObjects, canceledCalls;

struct Driver {
    kj::Maybe<Peer::Client> remote;
};

class PeerImpl final : public Peer::Server {
public:
    explicit PeerImpl(Driver &driver) : driver(driver)
    {
        liveObjects++;
    }
    ~PeerImpl()
    {
        liveObjects--;
    }

    kj::Promise<void> echo(EchoContext context) override
    {
        seen.add(context.getParams().getValue());
        context.getResults().setValue(context.getParams().getValue());
        return kj::READY_NOW;
    }
    kj::Promise<void> fail(FailContext context) override
    {
        auto type = static_cast<kj::Exception::Type>(context.getParams().getValue());
        return kj::Exception(type, __FILE__, __LINE__, kj::str("asked to fail"));
    }
    kj::Promise<void> keep(KeepContext context) override
    {
        if (context.getParams().hasCap())
            kept = context.getParams().getCap();
        else
            kept = nullptr;
        context.getResults().setValue(context.getParams().getValue());
        return kj::READY_NOW;
    }
    kj::Promise<void> give(GiveContext context) override
    {
        KJ_IF_MAYBE(cap, kept)
            context.getResults().setCap(*cap);
        return kj::READY_NOW;
    }
    kj::Promise<void> call(CallContext context) override
    {
        auto req = KJ_REQUIRE_NONNULL(kept, "nothing kept").echoRequest();
        req.setValue(context.getParams().getValue());
        return req.send().then([context](auto &&response) mutable { context.getResults().setValue(response.getValue()); });
    }
    kj::Promise<void> later(LaterContext context) override
    {
        context.allowCancellation();
        auto note = kj::defer([]() { canceledCalls++; });
        return kj::Promise<void>(kj::NEVER_DONE).attach(kj::mv(note));
    }
    kj::Promise<void> push(PushContext context) override
    {
        uint64_t value = context.getParams().getValue();
        KJ_REQUIRE(value != 666, "stream failed");
        seen.add(value);
        return kj::READY_NOW;
    }
    kj::Promise<void> count(CountContext context) override
    {
        for (size_t i = 1; i < seen.size(); i++)
            KJ_REQUIRE(seen[i] == seen[i - 1] + 1, "out of order");
        context.getResults().setValue(seen.size());
        seen.clear();
        return kj::READY_NOW;
    }
    kj::Promise<void> make(MakeContext context) override
    {
        context.getResults().setCap(kj::heap<PeerImpl>(driver));
        return kj::READY_NOW;
    }
    kj::Promise<void> echoCap(EchoCapContext context) override
    {
        context.getResults().setCap(context.getParams().getCap());
        return kj::READY_NOW;
    }
    kj::Promise<void> live(LiveContext context) override
    {
        context.getResults().setValue(liveObjects);
        return kj::READY_NOW;
    }
    kj::Promise<void> canceled(CanceledContext context) override
    {
        context.getResults().setValue(canceledCalls);
        return kj::READY_NOW;
    }
    kj::Promise<void> drive(DriveContext context) override;

private:
    Driver &driver;
    kj::Maybe<Peer::Client> kept;
    kj::Vector<uint64_t> seen;
};

static kj::Promise<void> expectEcho(Peer::Client cap, uint64_t value)
{
    auto req = cap.echoRequest();
    req.setValue(value);
    return req.send().then([value](auto &&response) { KJ_REQUIRE(response.getValue() == value, "echo"); });
}

static kj::Promise<void> driveExceptions(Peer::Client remote)
{
    kj::Vector<kj::Promise<void>> all;
    // The other side throws its own numbers: -3 failed, -2 overloaded, -103 disconnected, -10 unimplemented.
    static const struct {
        int32_t code;
        kj::Exception::Type type;
    } kinds[] = {{-3, kj::Exception::Type::FAILED}, {-2, kj::Exception::Type::OVERLOADED},
        {-103, kj::Exception::Type::DISCONNECTED}, {-10, kj::Exception::Type::UNIMPLEMENTED}};
    for (auto &kind : kinds) {
        auto req = remote.failRequest();
        req.setValue(static_cast<uint32_t>(kind.code));
        auto type = kind.type;
        all.add(req.send().then([](auto &&) { KJ_FAIL_REQUIRE("did not fail"); },
            [type](kj::Exception &&e) {
                KJ_REQUIRE(e.getType() == type, "kind of exception");
                KJ_REQUIRE(e.getDescription() == "remote exception: asked to fail", e.getDescription());
            }));
    }
    auto stranger = remote.castAs<Stranger>();
    all.add(stranger.nothingRequest().send().then([](auto &&) { KJ_FAIL_REQUIRE("did not fail"); },
        [](kj::Exception &&e) { KJ_REQUIRE(e.getType() == kj::Exception::Type::UNIMPLEMENTED, "unknown interface"); }));
    return kj::joinPromises(all.releaseAsArray());
}

static kj::Promise<void> drivePipelines(Peer::Client remote)
{
    Peer::Client at = remote;
    for (int i = 0; i < 20; i++)
        at = at.makeRequest().send().getCap();
    return expectEcho(at, 4711);
}

static kj::Promise<void> driveCallback(Peer::Client remote, Driver &driver)
{
    auto keep = remote.keepRequest();
    keep.setCap(kj::heap<PeerImpl>(driver));
    return keep.send()
        .then([remote](auto &&) mutable {
            auto call = remote.callRequest();
            call.setValue(12);
            return call.send();
        })
        .then([remote](auto &&response) mutable {
            KJ_REQUIRE(response.getValue() == 12, "callback");
            return remote.keepRequest().send(); // gives it back
        })
        .ignoreResult();
}

// Calls through a promise that leads home stay in order, before and after that is known.
static kj::Promise<void> driveEmbargo(Peer::Client remote, Driver &driver)
{
    Peer::Client home = kj::heap<PeerImpl>(driver);
    auto req = remote.echoCapRequest();
    req.setCap(home);
    auto sent = req.send();
    Peer::Client promise = sent.getCap();
    kj::Vector<kj::Promise<void>> all;
    for (uint64_t i = 0; i < 3; i++)
        all.add(expectEcho(promise, i));
    all.add(sent.then([promise](auto &&) mutable {
        return expectEcho(promise, 3).then([promise]() mutable { return expectEcho(promise, 4); });
    }));
    return kj::joinPromises(all.releaseAsArray()).then([home]() mutable {
        return home.countRequest().send().then([](auto &&response) { KJ_REQUIRE(response.getValue() == 5, "embargo"); });
    });
}

static kj::Promise<void> drivePromiseParameter(Peer::Client remote, Driver &driver)
{
    auto paf = kj::newPromiseAndFulfiller<Peer::Client>();
    auto keep = remote.keepRequest();
    keep.setCap(kj::mv(paf.promise));
    auto kept = keep.send();
    auto call = remote.callRequest();
    call.setValue(5);
    auto called = call.send();
    auto fulfiller = kj::mv(paf.fulfiller);
    return kept
        .then([&driver, fulfiller = kj::mv(fulfiller)](auto &&) mutable { fulfiller->fulfill(kj::heap<PeerImpl>(driver)); })
        .then([called = kj::mv(called)]() mutable { return kj::mv(called); })
        .then([remote](auto &&response) mutable {
            KJ_REQUIRE(response.getValue() == 5, "promise as parameter");
            return remote.keepRequest().send();
        })
        .ignoreResult();
}

// The promise resolves to the callee's own capability, which then keeps a way to itself.
static kj::Promise<void> drivePromiseReturnsHome(Peer::Client remote)
{
    auto paf = kj::newPromiseAndFulfiller<Peer::Client>();
    auto keep = remote.keepRequest();
    keep.setCap(kj::mv(paf.promise));
    auto kept = keep.send();
    auto call = remote.callRequest();
    call.setValue(6);
    auto called = call.send();
    auto fulfiller = kj::mv(paf.fulfiller);
    return kept.then([remote, fulfiller = kj::mv(fulfiller)](auto &&) mutable { fulfiller->fulfill(kj::mv(remote)); })
        .then([called = kj::mv(called)]() mutable { return kj::mv(called); })
        .then([remote](auto &&response) mutable {
            KJ_REQUIRE(response.getValue() == 6, "promise that returns home");
            return remote.keepRequest().send();
        })
        .ignoreResult();
}

static kj::Promise<void> pushAll(Peer::Client to, uint64_t from, uint64_t end)
{
    if (from == end)
        return kj::READY_NOW;
    auto req = to.pushRequest();
    req.setValue(from);
    return req.send().then([to, from, end]() mutable { return pushAll(to, from + 1, end); });
}

static kj::Promise<void> driveStream(Peer::Client remote)
{
    Peer::Client to = remote.makeRequest().send().getCap();
    return pushAll(to, 0, 500)
        .then([to]() mutable { return to.countRequest().send(); })
        .then([](auto &&response) { KJ_REQUIRE(response.getValue() == 500, "stream"); });
}

static kj::Promise<void> driveCancel(Peer::Client remote)
{
    auto made = remote.makeRequest().send();
    Peer::Client to = made.getCap();
    auto later = to.laterRequest().send().ignoreResult();
    return made.then([to, later = kj::mv(later)](auto &&) mutable {
        { auto gone = kj::mv(later); }
        return expectEcho(to, 1);
    });
}

kj::Promise<void> PeerImpl::drive(DriveContext context)
{
    Peer::Client remote = KJ_REQUIRE_NONNULL(driver.remote);
    Driver &d = driver;
    const char *last = getenv("PEER_TRACE");
    auto step = [last](const char *name) {
        if (last)
            fprintf(stderr, "peer: %s\n", name);
    };
    return expectEcho(remote, 1)
        .then([=]() mutable { step("exceptions"); return driveExceptions(remote); })
        .then([=]() mutable { step("pipelines"); return drivePipelines(remote); })
        .then([=, &d]() mutable { step("callback"); return driveCallback(remote, d); })
        .then([=, &d]() mutable { step("embargo"); return driveEmbargo(remote, d); })
        .then([=, &d]() mutable { step("promise parameter"); return drivePromiseParameter(remote, d); })
        .then([=]() mutable { step("promise home"); return drivePromiseReturnsHome(remote); })
        .then([=]() mutable { step("stream"); return driveStream(remote); })
        .then([=]() mutable { step("cancel"); return driveCancel(remote); });
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    auto io = kj::setupAsyncIo();
    auto stream = io.lowLevelProvider->wrapSocketFd(atoi(argv[1]), kj::LowLevelAsyncIoProvider::TAKE_OWNERSHIP);
    Driver driver;
    capnp::TwoPartyClient client(*stream, kj::heap<PeerImpl>(driver), capnp::rpc::twoparty::Side::SERVER);
    driver.remote = client.bootstrap().castAs<Peer>();
    client.onDisconnect().wait(io.waitScope);
    driver.remote = nullptr;
    return 0;
}
