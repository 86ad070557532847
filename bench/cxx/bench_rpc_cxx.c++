// bench_rpc_cxx: the cases of bench_rpc with the C++ implementation: on a local object, over an in-process pipe, and on an
// object in another process over a unix socket and TCP. Prints the same names, with the figure as "peer".
#include <arpa/inet.h>
#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../rpc/cases.h"
#include "bench_rpc.capnp.h"

class BenchImpl final : public Bench::Server {
public:
    kj::Promise<void> ping(PingContext context) override
    {
        context.getResults(capnp::MessageSize{2, 0}).setN(context.getParams().getN());
        return kj::READY_NOW;
    }
    kj::Promise<void> echo(EchoContext context) override
    {
        auto data = context.getParams().getData();
        context.getResults(capnp::MessageSize{data.size() / 8 + 4, 0}).setData(data);
        return kj::READY_NOW;
    }
    kj::Promise<void> push(PushContext context) override
    {
        pushes += context.getParams().getData().size();
        return kj::READY_NOW;
    }
    kj::Promise<void> done(DoneContext context) override
    {
        context.getResults().setCount(pushes);
        return kj::READY_NOW;
    }
    kj::Promise<void> next(NextContext context) override
    {
        context.getResults(capnp::MessageSize{4, 1}).setNext(thisCap());
        return kj::READY_NOW;
    }
    kj::Promise<void> caps(CapsContext context) override
    {
        uint32_t count = context.getParams().getCount();
        auto list = context.getResults().initCaps(count);
        for (uint32_t i = 0; i < count; i++)
            list.set(i, kj::heap<BenchImpl>());
        return kj::READY_NOW;
    }

private:
    uint64_t pushes = 0;
};

struct Caller {
    Bench::Client cap;
    kj::WaitScope &ws;
};

static kj::byte bulk[64 << 10];

static void pings(Caller &c, unsigned depth, uint64_t count)
{
    for (uint64_t done = 0; done < count; done += depth) {
        kj::Vector<kj::Promise<void>> all;
        for (unsigned i = 0; i < depth; i++) {
            auto req = c.cap.pingRequest(capnp::MessageSize{4, 0});
            req.setN(1);
            if (depth == 1) {
                req.send().wait(c.ws);
                break;
            }
            all.add(req.send().ignoreResult());
        }
        if (depth > 1)
            kj::joinPromises(all.releaseAsArray()).wait(c.ws);
    }
}

static void chain(Caller &c, unsigned depth)
{
    Bench::Client at = c.cap;
    for (unsigned i = 0; i < depth; i++)
        at = at.nextRequest(capnp::MessageSize{4, 0}).send().getNext();
    auto req = at.pingRequest(capnp::MessageSize{4, 0});
    req.setN(1);
    req.send().wait(c.ws);
}

static void caps(Caller &c, unsigned size)
{
    kj::Vector<Bench::Client> kept;
    {
        auto req = c.cap.capsRequest(capnp::MessageSize{4, 0});
        req.setCount(size);
        auto response = req.send().wait(c.ws);
        for (auto cap : response.getCaps())
            kept.add(cap);
    }
    kept.clear();
    pings(c, 1, 1);
}

static void echoes(Caller &c, unsigned size, uint64_t count)
{
    for (uint64_t done = 0; done < count; done += ECHOES_AT_ONCE) {
        kj::Vector<kj::Promise<void>> all;
        for (int i = 0; i < ECHOES_AT_ONCE; i++) {
            auto req = c.cap.echoRequest(capnp::MessageSize{size / 8 + 4, 0});
            memcpy(req.initData(size).begin(), bulk, size);
            all.add(req.send().ignoreResult());
        }
        kj::joinPromises(all.releaseAsArray()).wait(c.ws);
    }
}

static void streamed(Caller &c, unsigned size, uint64_t count)
{
    while (count-- > 0) {
        auto req = c.cap.pushRequest(capnp::MessageSize{size / 8 + 4, 0});
        memcpy(req.initData(size).begin(), bulk, size);
        req.send().wait(c.ws);
    }
    c.cap.doneRequest().send().wait(c.ws);
}

static void run(void *ctx, const bench_case *k, uint64_t count)
{
    Caller &c = *static_cast<Caller *>(ctx);
    switch (k->kind) {
    case KIND_PING:
        pings(c, k->size, count);
        break;
    case KIND_CHAIN:
        while (count-- > 0)
            chain(c, k->size);
        break;
    case KIND_ECHO:
        echoes(c, k->size, count);
        break;
    case KIND_STREAM:
        streamed(c, k->size, count);
        break;
    case KIND_CAPS:
        while (count-- > 0)
            caps(c, k->size);
        break;
    case KIND_NEXT:
        while (count-- > 0)
            c.cap.nextRequest(capnp::MessageSize{4, 0}).send().wait(c.ws);
        break;
    }
}

struct What {
    const char *only, *one;
    bool counting;
    uint64_t number; // calls to do, or nanoseconds to measure for
};

static void measure(Caller &c, const bench_clock &clock, unsigned on, const What &what)
{
    for (auto &k : bench_cases) {
        if (!(k.on & on) || (what.one && strcmp(what.one, k.name) != 0))
            continue;
        if (what.counting)
            run(&c, &k, what.number);
        else
            bench_measure(&clock, &k, what.number, run, &c);
    }
}

static void socketPair(bool tcp, int fds[2])
{
    if (!tcp) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
            exit(1);
        return;
    }
    sockaddr_in at = {};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (sockaddr *)&at, sizeof at) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (sockaddr *)&at, &len) != 0 || connect(fds[0], (sockaddr *)&at, len) != 0)
        exit(1);
    fds[1] = accept(listener, nullptr, nullptr);
    close(listener);
    for (int i = 0; i < 2; i++)
        setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// The other process, until its peer goes.
static void serve(int fd)
{
    auto io = kj::setupAsyncIo();
    auto stream = io.lowLevelProvider->wrapSocketFd(fd, kj::LowLevelAsyncIoProvider::TAKE_OWNERSHIP);
    capnp::TwoPartyVatNetwork net(*stream, capnp::rpc::twoparty::Side::SERVER);
    auto server = capnp::makeRpcServer(net, kj::heap<BenchImpl>());
    net.onDisconnect().wait(io.waitScope);
    _exit(0);
}

static void overSocket(bool tcp, const What &what)
{
    int fds[2];
    socketPair(tcp, fds);
    bench_clock clock = {fork(), "peer", tcp ? "tcp" : "unix"};
    if (clock.peer == 0) {
        close(fds[0]);
        serve(fds[1]);
    }
    close(fds[1]);
    {
        auto io = kj::setupAsyncIo();
        auto stream = io.lowLevelProvider->wrapSocketFd(fds[0], kj::LowLevelAsyncIoProvider::TAKE_OWNERSHIP);
        capnp::TwoPartyClient client(*stream);
        Caller c{client.bootstrap().castAs<Bench>(), io.waitScope};
        measure(c, clock, tcp ? ON_TCP : ON_UNIX, what);
    }
    waitpid(clock.peer, nullptr, 0);
}

static void inProcess(bool local, const What &what)
{
    auto io = kj::setupAsyncIo();
    bench_clock clock = {0, "peer", local ? "local" : "memory"};
    if (local) {
        Caller c{kj::heap<BenchImpl>(), io.waitScope};
        measure(c, clock, ON_LOCAL, what);
        return;
    }
    auto pipe = kj::newTwoWayPipe();
    capnp::TwoPartyVatNetwork serverNet(*pipe.ends[1], capnp::rpc::twoparty::Side::SERVER);
    auto server = capnp::makeRpcServer(serverNet, kj::heap<BenchImpl>());
    capnp::TwoPartyClient client(*pipe.ends[0]);
    Caller c{client.bootstrap().castAs<Bench>(), io.waitScope};
    measure(c, clock, ON_MEMORY, what);
}

int main(int argc, char **argv)
{
    bool counting = argc == 5 && strcmp(argv[1], "count") == 0;
    What what = {argc > 2 ? argv[2] : nullptr, argc > 3 ? argv[3] : nullptr, counting,
        counting ? strtoull(argv[4], nullptr, 10) : (argc > 1 ? strtoull(argv[1], nullptr, 10) : 300) * 1000000u};
    auto wanted = [&](const char *name) { return !what.only || strcmp(what.only, name) == 0; };
    bench_pin();
    if (wanted("local"))
        inProcess(true, what);
    if (wanted("memory"))
        inProcess(false, what);
    if (wanted("unix"))
        overSocket(false, what);
    if (wanted("tcp"))
        overSocket(true, what);
    return 0;
}
