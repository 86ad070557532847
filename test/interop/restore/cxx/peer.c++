// The same on the C++ implementation: the commands of peer.c, and `capnp-cxx-restore serve ADDRESS`, a vault whose counters are
// Persistent in a realm of their own (a reference says in plain words to what it leads and for whom), with a Restorer of it.
#include <capnp/ez-rpc.h>
#include <capnp/persistent.capnp.h>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <unistd.h>

#include "restore.capnp.h"

namespace {

using Persistent = capnp::Persistent<capnp::Data, capnp::Data>;
using DataRestorer = Restorer<capnp::Data>;

capnp::Data::Reader bytes(const std::string& s) {
  return capnp::Data::Reader(reinterpret_cast<const kj::byte*>(s.data()), s.size());
}

std::string text(capnp::Data::Reader data) {
  return std::string(reinterpret_cast<const char*>(data.begin()), data.size());
}

// ---- serves

std::map<std::string, uint64_t> sums;

class CounterImpl final : public Counter::Server, public Persistent::Server {
public:
  explicit CounterImpl(std::string name) : name(std::move(name)) {}

  kj::Promise<void> add(AddContext context) override {
    context.getResults().setSum(sums[name] += context.getParams().getN());
    return kj::READY_NOW;
  }
  kj::Promise<void> save(SaveContext context) override {
    context.getResults().setSturdyRef(bytes(name + " for " + text(context.getParams().getSealFor())));
    return kj::READY_NOW;
  }
  DispatchCallResult dispatchCall(uint64_t interface, uint16_t method,
      capnp::CallContext<capnp::AnyPointer, capnp::AnyPointer> context) override {
    if (interface == capnp::typeId<Persistent>())
      return Persistent::Server::dispatchCall(interface, method, context);
    return Counter::Server::dispatchCall(interface, method, context);
  }

private:
  std::string name;
};

Counter::Client counterOf(std::string name) {
  return Counter::Client(capnp::Capability::Client(kj::heap<CounterImpl>(std::move(name))).castAs<Counter>());
}

class RestorerImpl final : public DataRestorer::Server {
public:
  explicit RestorerImpl(std::string owner) : owner(std::move(owner)) {}

  kj::Promise<void> restore(RestoreContext context) override {
    std::string ref = text(context.getParams().getRef());
    size_t at = ref.find(" for ");
    KJ_REQUIRE(at != std::string::npos && ref.substr(at + 5) == owner, "not for you");
    context.getResults().setCap(counterOf(ref.substr(0, at)));
    return kj::READY_NOW;
  }

private:
  std::string owner;
};

class VaultImpl final : public Vault::Server {
public:
  kj::Promise<void> counter(CounterContext context) override {
    context.getResults().setCounter(counterOf(context.getParams().getName().cStr()));
    return kj::READY_NOW;
  }
  kj::Promise<void> login(LoginContext context) override {
    context.getResults().setRestorer(kj::heap<RestorerImpl>(context.getParams().getName().cStr()));
    return kj::READY_NOW;
  }
};

int serve(const char* address) {
  capnp::EzRpcServer server(kj::heap<VaultImpl>(), address);
  auto& scope = server.getWaitScope();
  server.getPort().wait(scope);
  std::printf("LISTEN %s\n", address);
  std::fflush(stdout);
  kj::NEVER_DONE.wait(scope);
}

// ---- asks

std::string unhex(const char* hex) {
  std::string out;
  for (; hex[0] && hex[1]; hex += 2)
    out += static_cast<char>(std::strtoul(std::string(hex, 2).c_str(), nullptr, 16));
  return out;
}

void add(Counter::Client counter, const char* n, kj::WaitScope& scope) {
  auto request = counter.addRequest();
  request.setN(std::strtoull(n, nullptr, 10));
  std::printf("sum %llu\n", static_cast<unsigned long long>(request.send().wait(scope).getSum()));
}

void save(Counter::Client counter, const char* owner, kj::WaitScope& scope) {
  auto request = counter.castAs<Persistent>().saveRequest();
  if (*owner)
    request.setSealFor(bytes(owner));
  auto response = request.send().wait(scope);
  std::printf("ref ");
  for (auto b : response.getSturdyRef())
    std::printf("%02x", b);
  std::printf("\n");
}

int ask(int argc, char** argv) {
  capnp::EzRpcClient client(argv[1]);
  auto& scope = client.getWaitScope();
  auto vault = client.getMain<Vault>();
  std::string command = argv[2], who = std::string(argv[3]) == "-" ? "" : argv[3];
  auto counter = [&]() {
    auto request = vault.counterRequest();
    request.setName(who);
    return request.send().getCounter();
  };
  auto restorer = [&]() {
    auto request = vault.loginRequest();
    request.setName(who);
    return request.send().getRestorer();
  };
  try {
    if (command == "add" && argc == 5)
      add(counter(), argv[4], scope);
    else if (command == "save")
      save(counter(), argc == 5 ? argv[4] : "", scope);
    else if (command == "restore" && argc == 6) {
      auto request = restorer().restoreRequest();
      request.setRef(bytes(unhex(argv[4])));
      add(request.send().getCap().castAs<Counter>(), argv[5], scope);
    } else if (command == "revoke" && argc == 5) {
      auto request = restorer().revokeRequest();
      request.setRef(bytes(unhex(argv[4])));
      request.send().wait(scope);
      std::printf("revoked\n");
    } else
      return 2;
  } catch (const kj::Exception& e) {
    const char* kinds[] = {"failed", "overloaded", "disconnected", "unimplemented"};
    std::printf("refused %s: %s\n", kinds[static_cast<int>(e.getType())], e.getDescription().cStr());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "serve")
    return serve(argv[2]);
  return argc >= 4 ? ask(argc, argv) : 2;
}
