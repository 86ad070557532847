// bench_rpc_cxx: the cases of bench_rpc with the C++ implementation, both sides on one event loop: over an in-process pipe,
// and over a unix socket pair. Prints the same names, with the figure as "peer".
#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "bench_rpc.capnp.h"

/* CPU time, as in bench_rpc. */
static double now()
{
    timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return ts.tv_sec + ts.tv_nsec / 1e9;
}

class BenchImpl final : public Bench::Server {
public:
    kj::Promise<void> ping(PingContext context) override
    {
        context.getResults(capnp::MessageSize{2, 0}).setN(context.getParams().getN());
        return kj::READY_NOW;
    }
    kj::Promise<void> echo(EchoContext context) override
    {
        context.getResults().setData(context.getParams().getData());
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
        context.getResults().setNext(thisCap());
        return kj::READY_NOW;
    }

private:
    uint64_t pushes = 0;
};

static void report(const char *transport, const char *name, const char *unit, double value)
{
    printf("{\"name\":\"rpc/%s/%s\",\"unit\":\"%s\",\"peer\":%.6g}\n", transport, name, unit, value);
    fflush(stdout);
}

static double seconds(double since)
{
    return now() - since;
}

static double pings(Bench::Client cap, kj::WaitScope &ws, unsigned depth, double limit)
{
    auto start = now();
    uint64_t count = 0;
    while (seconds(start) < limit) {
        for (unsigned round = 0; round < 256 / depth + 1; round++) {
            kj::Vector<kj::Promise<void>> all;
            for (unsigned i = 0; i < depth; i++) {
                auto req = cap.pingRequest(capnp::MessageSize{4, 0});
                req.setN(1);
                all.add(req.send().ignoreResult());
            }
            kj::joinPromises(all.releaseAsArray()).wait(ws);
            count += depth;
        }
    }
    return count / seconds(start);
}

static double chains(Bench::Client cap, kj::WaitScope &ws, double limit)
{
    auto start = now();
    uint64_t count = 0;
    while (seconds(start) < limit) {
        Bench::Client at = cap;
        for (int i = 0; i < 10; i++)
            at = at.nextRequest().send().getNext();
        auto req = at.pingRequest();
        req.setN(1);
        req.send().wait(ws);
        count++;
    }
    return seconds(start) * 1e6 / count;
}

static double streamed(Bench::Client cap, kj::WaitScope &ws, size_t size, double limit)
{
    auto data = kj::heapArray<kj::byte>(size);
    memset(data.begin(), 1, size);
    auto start = now();
    uint64_t bytes = 0;
    while (seconds(start) < limit) {
        for (int i = 0; i < 16; i++) {
            auto req = cap.pushRequest(capnp::MessageSize{size / 8 + 4, 0});
            memcpy(req.initData(size).begin(), data.begin(), size);
            req.send().wait(ws);
            bytes += size;
        }
    }
    cap.doneRequest().send().wait(ws);
    return bytes / 1e6 / seconds(start);
}

static void run(const char *transport, kj::AsyncIoStream &left, kj::AsyncIoStream &right, kj::WaitScope &ws, double limit)
{
    capnp::TwoPartyVatNetwork serverNet(right, capnp::rpc::twoparty::Side::SERVER);
    auto server = capnp::makeRpcServer(serverNet, kj::heap<BenchImpl>());
    capnp::TwoPartyClient client(left);
    Bench::Client cap = client.bootstrap().castAs<Bench>();
    pings(cap, ws, 64, limit / 10);
    report(transport, "ping-1", "calls/s", pings(cap, ws, 1, limit));
    report(transport, "ping-64", "calls/s", pings(cap, ws, 64, limit));
    report(transport, "pipeline-10", "us", chains(cap, ws, limit));
    report(transport, "stream-1KiB", "MB/s", streamed(cap, ws, 1024, limit));
    report(transport, "stream-16KiB", "MB/s", streamed(cap, ws, 16 * 1024, limit));
}

int main(int argc, char **argv)
{
    double limit = argc > 1 ? atof(argv[1]) / 1000 : 0.5;
    auto io = kj::setupAsyncIo();
    {
        auto pipe = kj::newTwoWayPipe();
        run("memory", *pipe.ends[0], *pipe.ends[1], io.waitScope, limit);
    }
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        return 1;
    auto left = io.lowLevelProvider->wrapSocketFd(fds[0], kj::LowLevelAsyncIoProvider::TAKE_OWNERSHIP);
    auto right = io.lowLevelProvider->wrapSocketFd(fds[1], kj::LowLevelAsyncIoProvider::TAKE_OWNERSHIP);
    run("unix", *left, *right, io.waitScope, limit);
    return 0;
}
