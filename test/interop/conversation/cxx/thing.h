// Thing of conversation.capnp, on the C++ implementation.
#pragma once
#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>
#include <kj/debug.h>

#include <sys/socket.h>

#include <list>
#include <memory>
#include <vector>

#include "conversation.capnp.h"

inline uint8_t patternAt(size_t i)
{
    return static_cast<uint8_t>(i * 7 + 1);
}

class ThingImpl final : public Thing::Server {
public:
    static int alive;

    // `fd` is the connection that this object was made for.
    explicit ThingImpl(int fd) : fd(fd)
    {
        alive++;
    }
    ~ThingImpl()
    {
        alive--;
    }

    kj::Promise<void> base(BaseContext context) override
    {
        context.getResults().setValue(context.getParams().getValue() + 100);
        return kj::READY_NOW;
    }
    kj::Promise<void> left(LeftContext context) override
    {
        context.getResults().setValue(context.getParams().getValue() + 200);
        return kj::READY_NOW;
    }
    kj::Promise<void> right(RightContext context) override
    {
        context.getResults().setValue(context.getParams().getValue() + 300);
        return kj::READY_NOW;
    }
    kj::Promise<void> put(PutContext context) override
    {
        boxed = kj::heapArray<kj::byte>(context.getParams().getContent());
        return kj::READY_NOW;
    }
    kj::Promise<void> get(GetContext context) override
    {
        context.getResults().setContent(boxed);
        return kj::READY_NOW;
    }
    kj::Promise<void> save(SaveContext context) override
    {
        context.getResults().setSturdyRef(context.getParams().getSealFor());
        return kj::READY_NOW;
    }
    kj::Promise<void> echo(EchoContext context) override
    {
        auto params = context.getParams();
        remembered.push_back(params.getValue());
        auto results = context.getResults(params.totalSize());
        results.setValue(params.getValue());
        if (params.hasData())
            results.setData(params.getData());
        return kj::READY_NOW;
    }
    kj::Promise<void> fail(FailContext context) override
    {
        auto type = static_cast<kj::Exception::Type>(context.getParams().getValue());
        return kj::Exception(type, __FILE__, __LINE__, kj::str("asked to fail"));
    }
    kj::Promise<void> keep(KeepContext context) override
    {
        kept = nullptr;
        if (context.getParams().hasCap())
            kept = context.getParams().getCap();
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
        context.allowCancellation();
        auto params = context.getParams();
        auto req = KJ_REQUIRE_NONNULL(kept, "nothing kept")
                       .typelessRequest(capnp::typeId<Thing>(), params.getVia(), nullptr);
        auto note = req.initAs<Note>();
        note.setValue(params.getValue());
        if (params.hasCap())
            note.setCap(params.getCap());
        return req.send().then([context](capnp::Response<capnp::AnyPointer> &&response) mutable {
            context.setResults(response.getAs<Note>());
        });
    }
    kj::Promise<void> make(MakeContext context) override
    {
        context.getResults().setCap(kj::heap<ThingImpl>(fd));
        return kj::READY_NOW;
    }
    kj::Promise<void> self(SelfContext context) override
    {
        context.getResults().setCap(thisCap());
        return kj::READY_NOW;
    }
    kj::Promise<void> mirror(MirrorContext context) override
    {
        if (context.getParams().hasCap())
            context.getResults().setCap(context.getParams().getCap());
        return kj::READY_NOW;
    }
    kj::Promise<void> later(LaterContext context) override
    {
        context.allowCancellation();
        return wait([context](Waiter &w) mutable {
            context.getResults().setValue(w.value);
            KJ_IF_MAYBE(cap, w.cap)
                context.getResults().setCap(*cap);
        });
    }
    kj::Promise<void> go(GoContext context) override
    {
        auto params = context.getParams();
        auto all = kj::mv(waiters);
        waiters.clear();
        for (auto &w : all) {
            w->value = params.getValue();
            if (params.hasCap())
                w->cap = params.getCap();
            w->fulfiller->fulfill();
        }
        context.getResults().setValue(params.getValue());
        return kj::READY_NOW;
    }
    kj::Promise<void> sequence(SequenceContext context) override
    {
        context.getResults().setValue(next++);
        return kj::READY_NOW;
    }
    kj::Promise<void> push(PushContext context) override
    {
        uint64_t value = context.getParams().getValue();
        if (value == 666)
            return kj::Exception(kj::Exception::Type::FAILED, __FILE__, __LINE__, kj::str("asked to fail"));
        remembered.push_back(value);
        return kj::READY_NOW;
    }
    kj::Promise<void> seen(SeenContext context) override
    {
        auto data = context.getResults().initData(remembered.size());
        for (size_t i = 0; i < remembered.size(); i++)
            data[i] = static_cast<kj::byte>(remembered[i]);
        context.getResults().setValue(remembered.size());
        return kj::READY_NOW;
    }
    kj::Promise<void> live(LiveContext context) override
    {
        context.getResults().setValue(static_cast<uint64_t>(ThingImpl::alive));
        return kj::READY_NOW;
    }
    kj::Promise<void> canceled(CanceledContext context) override
    {
        context.getResults().setValue(canceledCalls);
        return kj::READY_NOW;
    }
    kj::Promise<void> tail(TailContext context) override
    {
        context.allowCancellation();
        auto params = context.getParams();
        Thing::Client to = KJ_REQUIRE_NONNULL(kept, "nothing kept");
        auto fill = [&](auto &&req) {
            req.setValue(params.getValue());
            return context.tailCall(kj::mv(req));
        };
        switch (params.getVia()) {
        case 0:
            return fill(to.echoRequest());
        case 1:
            return fill(to.failRequest());
        case 5:
            return fill(to.makeRequest());
        case 8:
            return fill(to.laterRequest());
        default:
            KJ_FAIL_REQUIRE("no tail call to this method");
        }
    }
    kj::Promise<void> promise(PromiseContext context) override
    {
        auto paf = kj::newPromiseAndFulfiller<Thing::Client>();
        fulfiller = kj::mv(paf.fulfiller);
        context.getResults().setCap(kj::mv(paf.promise));
        return kj::READY_NOW;
    }
    kj::Promise<void> settle(SettleContext context) override
    {
        auto &f = KJ_REQUIRE_NONNULL(fulfiller, "no promise");
        if (context.getParams().getValue() == 1)
            f->reject(kj::Exception(kj::Exception::Type::FAILED, __FILE__, __LINE__, kj::str("asked to reject")));
        else
            f->fulfill(context.getParams().getCap());
        fulfiller = nullptr;
        return kj::READY_NOW;
    }
    kj::Promise<void> early(EarlyContext context) override
    {
        context.allowCancellation();
        Thing::Client made = kj::heap<ThingImpl>(fd);
        capnp::PipelineBuilder<Note> pipeline;
        pipeline.setCap(made);
        context.setPipeline(pipeline.build());
        return wait([context, made](Waiter &w) mutable {
            context.getResults().setValue(w.value);
            context.getResults().setCap(made);
        });
    }
    kj::Promise<void> size(SizeContext context) override
    {
        uint64_t n = context.getParams().getValue();
        auto results = context.getResults(capnp::MessageSize{n / 8 + 10, 0});
        results.setValue(n);
        auto data = results.initData(n);
        for (size_t i = 0; i < n; i++)
            data[i] = patternAt(i);
        return kj::READY_NOW;
    }
    kj::Promise<void> waiting(WaitingContext context) override
    {
        context.getResults().setValue(waiters.size());
        return kj::READY_NOW;
    }
    kj::Promise<void> hangup(HangupContext context) override
    {
        context.allowCancellation();
        ::shutdown(fd, SHUT_RDWR);
        return kj::NEVER_DONE;
    }

private:
    struct Waiter {
        kj::Own<kj::PromiseFulfiller<void>> fulfiller;
        uint64_t value = 0;
        kj::Maybe<Thing::Client> cap;
    };

    // Completes at the next go(); destroyed before, it was cancelled.
    template <typename Done> kj::Promise<void> wait(Done &&done)
    {
        auto paf = kj::newPromiseAndFulfiller<void>();
        auto w = std::make_shared<Waiter>();
        w->fulfiller = kj::mv(paf.fulfiller);
        waiters.push_back(w);
        auto guard = kj::defer([this, w]() {
            for (auto at = waiters.begin(); at != waiters.end(); ++at)
                if (*at == w) {
                    canceledCalls++;
                    waiters.erase(at);
                    return;
                }
        });
        return paf.promise.then([w, done = kj::mv(done)]() mutable { done(*w); }).attach(kj::mv(guard), thisCap());
    }

    int fd;
    uint64_t next = 0, canceledCalls = 0;
    kj::Array<kj::byte> boxed;
    kj::Maybe<Thing::Client> kept;
    kj::Maybe<kj::Own<kj::PromiseFulfiller<Thing::Client>>> fulfiller;
    std::vector<uint64_t> remembered;
    std::list<std::shared_ptr<Waiter>> waiters;
};
