// The C++ side of the conversations: `peer server ADDRESS` serves a fresh Thing to each connection, `peer client ADDRESS
// CASES NAME...` runs those cases, each on its own connection, and prints "ok NAME" or "not ok NAME: why".
#include <fcntl.h>
#include <netdb.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

#include "thing.h"

int ThingImpl::alive = 0;
static constexpr auto PATIENCE = 20 * kj::SECONDS;

struct Method {
    uint64_t iface;
    uint16_t id;
};

static const std::map<std::string, Method> &methods()
{
    static std::map<std::string, Method> all;
    if (all.empty()) {
        static const char *const names[] = {"echo", "fail", "keep", "give", "call", "make", "self", "mirror", "later", "go",
            "sequence", "push", "seen", "live", "canceled", "tail", "promise", "settle", "early", "size", "waiting", "hangup"};
        uint16_t id = 0;
        for (auto name : names)
            all[name] = {capnp::typeId<Thing>(), id++};
        all["nomethod"] = {capnp::typeId<Thing>(), 99};
        all["stranger"] = {capnp::typeId<Stranger>(), 0};
        all["base"] = {capnp::typeId<Base>(), 0};
        all["left"] = {capnp::typeId<Left>(), 0};
        all["right"] = {capnp::typeId<Right>(), 0};
        all["put"] = {0xfeedfacecafe0013, 0};
        all["get"] = {0xfeedfacecafe0013, 1};
        all["save"] = {capnp::typeId<Saver>(), 0};
    }
    return all;
}

#define WANT(condition, ...) \
    do { \
        if (!(condition)) \
            throw std::runtime_error(kj::str(__VA_ARGS__).cStr()); \
    } while (0)

struct Step {
    std::string verb, rest;
    std::vector<std::string> args; // without the options
    uint64_t from = 0, to = 0;     // of A..B
    bool isRange = false, expects = false;
    uint64_t expected = 0;
    std::string cap;
    int64_t data = -1;
    uint16_t via = 0;
};

static Step parse(const std::string &line)
{
    Step s;
    std::istringstream in(line);
    in >> s.verb;
    std::getline(in, s.rest);
    std::istringstream words(s.rest);
    for (std::string w; words >> w;) {
        if (w == "=") {
            words >> s.expected;
            s.expects = true;
        } else if (w.compare(0, 4, "cap=") == 0) {
            s.cap = w.substr(4);
        } else if (w.compare(0, 5, "data=") == 0) {
            s.data = std::stoll(w.substr(5));
        } else if (w.compare(0, 4, "via=") == 0) {
            s.via = methods().at(w.substr(4)).id;
        } else if (w.find("..") != std::string::npos) {
            s.from = std::stoull(w);
            s.to = std::stoull(w.substr(w.find("..") + 2));
            s.isRange = true;
        } else {
            s.args.push_back(w);
        }
    }
    return s;
}

struct Question {
    capnp::AnyPointer::Pipeline pipeline{nullptr};
    kj::Maybe<kj::ForkedPromise<void>> task;
    kj::Maybe<capnp::Response<capnp::AnyPointer>> response;
    kj::Maybe<kj::Exception> error;
    bool done = false;
    uint64_t value = 0;
    int64_t data = -1;
};

class Conversation {
public:
    Conversation(kj::AsyncIoContext &io, int fd)
        : io(io), fd(fd),
          stream(io.lowLevelProvider->wrapSocketFd(fd, kj::LowLevelAsyncIoProvider::TAKE_OWNERSHIP)), client(*stream)
    {
        caps.emplace("boot", kj::heap(client.bootstrap().castAs<Thing>()));
    }

    void step(const Step &s)
    {
        auto &a = s.args;
        if (s.verb == "ask" || s.verb == "until") {
            auto deadline = io.provider->getTimer().now() + PATIENCE;
            for (;;) {
                auto q = send(a.at(0), s, a.at(1), a.size() > 2 ? std::stoull(a[2]) : 0);
                auto got = outcome(*q);
                if (s.verb == "until" && got.getValue() != s.expected && io.provider->getTimer().now() < deadline) {
                    io.provider->getTimer().afterDelay(2 * kj::MILLISECONDS).wait(io.waitScope);
                    continue;
                }
                check(*q, s);
                if (a.at(1) == "size")
                    checkPattern(got, static_cast<int64_t>(s.expected));
                return;
            }
        } else if (s.verb == "send") {
            questions[a.at(0)] = send(a.at(1), s, a.at(2), a.size() > 3 ? std::stoull(a[3]) : 0);
        } else if (s.verb == "calls") {
            for (uint64_t v = s.from; v <= s.to; v++)
                lists[a.at(0)].push_back(send(a.at(1), s, a.at(2), v));
        } else if (s.verb == "waits") {
            for (auto &q : lists.at(a.at(0))) {
                auto got = outcome(*q);
                WANT(got.getValue() == q->value, "answer ", got.getValue(), " instead of ", q->value);
            }
        } else if (s.verb == "failsall") {
            for (auto &q : lists.at(a.at(0)))
                fails(*q, a, s.rest);
        } else if (s.verb == "wait") {
            check(*questions.at(a.at(0)), s);
        } else if (s.verb == "fails") {
            fails(*questions.at(a.at(0)), a, s.rest);
        } else if (s.verb == "pending") {
            WANT(!questions.at(a.at(0))->done, "has its outcome already");
        } else if (s.verb == "null") {
            WANT(!outcome(*questions.at(a.at(0))).hasCap(), "a capability where none should be");
        } else if (s.verb == "pipe") {
            set(a.at(0), capnp::Capability::Client(questions.at(a.at(1))->pipeline.getPointerField(1).asCap()).castAs<Thing>());
        } else if (s.verb == "take") {
            auto got = outcome(*questions.at(a.at(1)));
            WANT(got.hasCap(), "no capability in the results");
            set(a.at(0), got.getCap());
        } else if (s.verb == "chain") {
            Thing::Client at = *caps.at(a.at(1));
            for (uint64_t i = std::stoull(a.at(2)); i > 0; i--)
                at = at.makeRequest().send().getCap();
            set(a.at(0), kj::mv(at));
        } else if (s.verb == "bootstrap") {
            set(a.at(0), client.bootstrap().castAs<Thing>());
        } else if (s.verb == "new") {
            set(a.at(0), locals.add(kj::heap<ThingImpl>(fd)));
        } else if (s.verb == "promise") {
            auto paf = kj::newPromiseAndFulfiller<Thing::Client>();
            fulfillers[a.at(0)] = kj::mv(paf.fulfiller);
            set(a.at(0), kj::mv(paf.promise));
        } else if (s.verb == "resolve") {
            fulfillers.at(a.at(0))->fulfill(Thing::Client(*caps.at(a.at(1))));
        } else if (s.verb == "reject") {
            fulfillers.at(a.at(0))->reject(
                kj::Exception(kj::Exception::Type::FAILED, __FILE__, __LINE__, kj::str("asked to reject")));
        } else if (s.verb == "abandon") {
            fulfillers.erase(a.at(0));
            caps.erase(a.at(0));
        } else if (s.verb == "drop") {
            WANT(caps.erase(a.at(0)) + questions.erase(a.at(0)) == 1, "nothing of this name");
        } else if (s.verb == "same") {
            WANT(behind(a.at(0)) == behind(a.at(1)), "different objects");
        } else if (s.verb == "differ") {
            auto now = locals.getLocalServer(*caps.at(a.at(0)));
            WANT(!now.poll(io.waitScope), "resolved already");
        } else if (s.verb == "locals") {
            int want = std::stoi(a.at(0));
            for (int i = 0; i < 10000 && ThingImpl::alive != want; i++)
                io.provider->getTimer().afterDelay(2 * kj::MILLISECONDS).wait(io.waitScope);
            WANT(ThingImpl::alive == want, ThingImpl::alive, " local objects instead of ", want);
        } else if (s.verb == "seen" || s.verb == "inorder") {
            seen(s);
        } else if (s.verb == "stream") {
            for (uint64_t v = s.from; v <= s.to; v++)
                within(push(a.at(0), v));
        } else if (s.verb == "pushes") {
            for (uint64_t v = s.from; v <= s.to; v++)
                pushed.push_back(push(a.at(0), v).eagerlyEvaluate([](kj::Exception &&) {}));
        } else if (s.verb == "streamfails") {
            streamFails(s);
        } else if (s.verb == "disconnect") {
            ::shutdown(fd, SHUT_RDWR);
        } else {
            WANT(false, "unknown step: ", s.verb.c_str());
        }
    }

    // What every conversation ends with: nothing is left, on either side.
    void finish(bool connected)
    {
        lists.clear();
        questions.clear();
        pushed.clear();
        fulfillers.clear();
        for (auto at = caps.begin(); at != caps.end();)
            at = at->first == "boot" && connected ? std::next(at) : caps.erase(at);
        if (connected) {
            step(parse("ask boot keep"));
            step(parse("until boot live = 1"));
        }
        step(parse("locals 0"));
    }

private:
    kj::AsyncIoContext &io;
    int fd;
    capnp::CapabilityServerSet<Thing> locals;
    kj::Own<kj::AsyncIoStream> stream;
    capnp::TwoPartyClient client;
    std::map<std::string, kj::Own<Thing::Client>> caps;
    std::map<std::string, kj::Own<Question>> questions;
    std::map<std::string, std::vector<kj::Own<Question>>> lists;
    std::map<std::string, kj::Own<kj::PromiseFulfiller<Thing::Client>>> fulfillers;
    std::vector<kj::Promise<void>> pushed;

    void set(const std::string &name, Thing::Client cap)
    {
        caps.erase(name);
        caps.emplace(name, kj::heap(kj::mv(cap)));
    }

    template <typename T> T within(kj::Promise<T> &&promise)
    {
        return promise
            .exclusiveJoin(io.provider->getTimer().afterDelay(PATIENCE).then([]() -> kj::Promise<T> {
                return KJ_EXCEPTION(FAILED, "nothing in time");
            }))
            .wait(io.waitScope);
    }

    kj::Own<Question> send(const std::string &target, const Step &s, const std::string &method, uint64_t value)
    {
        auto &m = methods().at(method);
        auto req = caps.at(target)->typelessRequest(m.iface, m.id, nullptr);
        auto note = req.initAs<Note>();
        note.setValue(value);
        note.setVia(s.via);
        if (s.data >= 0) {
            auto data = note.initData(static_cast<uint>(s.data));
            for (size_t i = 0; i < data.size(); i++)
                data[i] = patternAt(i);
        }
        if (!s.cap.empty())
            note.setCap(*caps.at(s.cap));
        auto q = kj::heap<Question>();
        q->value = value;
        q->data = s.data;
        auto promise = req.send();
        auto &to = *q;
        to.pipeline = kj::mv(static_cast<capnp::AnyPointer::Pipeline &>(promise));
        to.task = kj::Promise<capnp::Response<capnp::AnyPointer>>(kj::mv(promise))
                      .then([&to](capnp::Response<capnp::AnyPointer> &&r) { to.response = kj::mv(r); to.done = true; },
                          [&to](kj::Exception &&e) { to.error = kj::mv(e); to.done = true; })
                      .eagerlyEvaluate(nullptr)
                      .fork();
        return q;
    }

    void settle(Question &q)
    {
        within(KJ_REQUIRE_NONNULL(q.task).addBranch());
    }

    Note::Reader outcome(Question &q)
    {
        settle(q);
        KJ_IF_MAYBE(e, q.error)
            WANT(false, e->getDescription());
        return KJ_REQUIRE_NONNULL(q.response).getAs<Note>();
    }

    void checkPattern(Note::Reader got, int64_t size)
    {
        auto data = got.getData();
        WANT(data.size() == static_cast<size_t>(size), data.size(), " bytes instead of ", size);
        for (size_t i = 0; i < data.size(); i++)
            WANT(data[i] == patternAt(i), "wrong byte at ", i);
    }

    void check(Question &q, const Step &s)
    {
        auto got = outcome(q);
        if (s.expects)
            WANT(got.getValue() == s.expected, "answer ", got.getValue(), " instead of ", s.expected);
        if (s.data >= 0 && s.verb == "ask" && s.args.at(1) != "put")
            checkPattern(got, s.data);
    }

    void fails(Question &q, const std::vector<std::string> &a, const std::string &rest)
    {
        static const char *const kinds[] = {"failed", "overloaded", "disconnected", "unimplemented"};
        settle(q);
        auto &e = KJ_REQUIRE_NONNULL(q.error, "did not fail");
        if (a.size() < 2)
            return;
        std::string text = e.getDescription().cStr();
        WANT(a[1] == kinds[static_cast<int>(e.getType())], kinds[static_cast<int>(e.getType())], " instead of ", a[1].c_str(),
            ": ", text.c_str());
        size_t at = rest.find(a[1]) + a[1].size() + 1;
        if (at < rest.size())
            WANT(text.find(rest.substr(at)) != std::string::npos, "another text: ", text.c_str());
    }

    Thing::Server *behind(const std::string &name)
    {
        auto found = within(locals.getLocalServer(*caps.at(name)));
        return &KJ_REQUIRE_NONNULL(found, "not one of our objects");
    }

    void seen(const Step &s)
    {
        std::string want, have;
        for (size_t i = 1; i < s.args.size(); i++)
            want.push_back(static_cast<char>(std::stoul(s.args[i])));
        for (uint64_t v = s.from; s.isRange && v <= s.to; v++)
            want.push_back(static_cast<char>(v));
        auto q = send(s.args.at(0), Step(), "seen", 0);
        for (auto b : outcome(*q).getData())
            if (s.verb == "seen" || want.find(static_cast<char>(b)) != std::string::npos)
                have.push_back(static_cast<char>(b));
        std::string text;
        for (char c : have)
            text += " " + std::to_string(static_cast<uint8_t>(c));
        WANT(have == want, "the object saw", text.c_str());
    }

    kj::Promise<void> push(const std::string &target, uint64_t value)
    {
        auto req = caps.at(target)->pushRequest();
        req.setValue(value);
        return req.send();
    }

    void streamFails(const Step &s)
    {
        auto rest = s.rest.substr(s.rest.find(s.args.at(1)) + s.args.at(1).size() + 1);
        try {
            within(push(s.args.at(0), std::stoull(s.args.at(1))));
            step(parse("ask boot sequence"));
            within(push(s.args.at(0), 1));
        } catch (kj::Exception &e) {
            WANT(strstr(e.getDescription().cStr(), rest.c_str()), "another text: ", e.getDescription());
            return;
        }
        WANT(false, "the stream did not fail");
    }
};

static int dial(const std::string &address)
{
    int fd;
    if (address.compare(0, 5, "unix:") == 0) {
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        sockaddr_un to{};
        to.sun_family = AF_UNIX;
        strncpy(to.sun_path, address.c_str() + 5, sizeof to.sun_path - 1);
        KJ_SYSCALL(connect(fd, reinterpret_cast<sockaddr *>(&to), sizeof to));
    } else {
        fd = socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        KJ_SYSCALL(connect(fd, reinterpret_cast<sockaddr *>(&to), sizeof to));
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static int runClient(int argc, char **argv)
{
    std::map<std::string, std::vector<std::string>> cases;
    std::ifstream file(argv[3]);
    std::string name;
    for (std::string line; std::getline(file, line);) {
        if (line.compare(0, 5, "case ") == 0)
            name = line.substr(5, line.find(' ', 5) - 5);
        else if (line.compare(0, 4, "    ") == 0)
            cases[name].push_back(line.substr(4));
    }
    auto io = kj::setupAsyncIo();
    int failed = 0;
    for (int i = 4; i < argc; i++) {
        std::string at;
        std::string why;
        try {
            Conversation c(io, dial(argv[2]));
            bool connected = true;
            for (auto &line : cases.at(argv[i])) {
                at = line;
                auto s = parse(line);
                if (s.verb == "slow" || s.verb == "hold" || s.verb == "inline" || s.verb == "wire" || s.verb == "before" || s.verb == "not")
                    continue;
                if (s.verb == "end")
                    connected = false;
                else
                    c.step(s);
            }
            at = "end of the conversation";
            c.finish(connected);
        } catch (kj::Exception &e) {
            why = e.getDescription().cStr();
        } catch (std::exception &e) {
            why = e.what();
        }
        if (why.empty()) {
            printf("ok %s\n", argv[i]);
        } else {
            for (char &ch : why)
                if (ch == '\n')
                    ch = ' ';
            printf("not ok %s: %s: %s\n", argv[i], at.c_str(), why.c_str());
            failed = 1;
        }
        fflush(stdout);
    }
    return failed;
}

class Server final : public kj::TaskSet::ErrorHandler {
public:
    explicit Server(kj::Own<kj::ConnectionReceiver> &&listener) : listener(kj::mv(listener)), tasks(*this) {}

    kj::Promise<void> accept()
    {
        return listener->accept().then([this](kj::Own<kj::AsyncIoStream> &&stream) {
            int fd = KJ_REQUIRE_NONNULL(stream->getFd());
            auto peer = kj::heap<capnp::TwoPartyClient>(*stream, kj::heap<ThingImpl>(fd), capnp::rpc::twoparty::Side::SERVER);
            auto gone = peer->onDisconnect();
            tasks.add(gone.attach(kj::mv(peer)).attach(kj::mv(stream)));
            return accept();
        });
    }
    void taskFailed(kj::Exception &&e) override
    {
        fprintf(stderr, "connection: %s\n", e.getDescription().cStr());
    }

private:
    kj::Own<kj::ConnectionReceiver> listener;
    kj::TaskSet tasks;
};

int main(int argc, char **argv)
{
    if (argc >= 5 && std::string(argv[1]) == "client")
        return runClient(argc, argv);
    if (argc != 3 || std::string(argv[1]) != "server")
        return 2;
    auto io = kj::setupAsyncIo();
    std::string address = argv[2];
    bool isUnix = address.compare(0, 5, "unix:") == 0;
    auto parsed = io.provider->getNetwork().parseAddress(isUnix ? argv[2] : "127.0.0.1:0").wait(io.waitScope);
    auto listener = parsed->listen();
    if (isUnix)
        printf("LISTEN %s\n", argv[2]);
    else
        printf("LISTEN tcp:127.0.0.1:%u\n", listener->getPort());
    fflush(stdout);
    Server server(kj::mv(listener));
    server.accept().wait(io.waitScope);
}
