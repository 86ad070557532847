// The calculator of examples/ on the C++ implementation, as server and as client, for the examples' test.
//
//     calculator serve ADDRESS     prints "LISTEN ADDRESS"
//     calculator ask ADDRESS       prints what examples/calculator-client prints
#include <capnp/ez-rpc.h>
#include <kj/async-io.h>
#include <capnp/rpc-twoparty.h>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <unistd.h>

#include "calculator.capnp.h"

namespace {

using Numbers = capnp::List<double>::Reader;

// Reads what an expression depends on, then calls what it calls.
kj::Promise<double> compute(Calculator::Expression::Reader e, kj::Array<double> params) {
  switch (e.which()) {
  case Calculator::Expression::LITERAL:
    return e.getLiteral();
  case Calculator::Expression::PREVIOUS_RESULT:
    return e.getPreviousResult().readRequest().send().then([](auto&& r) { return r.getValue(); });
  case Calculator::Expression::PARAMETER:
    KJ_REQUIRE(e.getParameter() < params.size(), "there is no such parameter");
    return params[e.getParameter()];
  case Calculator::Expression::CALL: {
    auto call = e.getCall();
    auto function = call.getFunction();
    auto waits = kj::heapArrayBuilder<kj::Promise<double>>(call.getParams().size());
    for (auto p : call.getParams())
      waits.add(compute(p, kj::heapArray(params.asPtr())));
    return kj::joinPromises(waits.finish()).then([function](kj::Array<double> values) mutable {
      auto request = function.callRequest();
      auto list = request.initParams(values.size());
      for (size_t i = 0; i < values.size(); i++)
        list.set(i, values[i]);
      return request.send().then([](auto&& r) { return r.getValue(); });
    });
  }
  }
  KJ_UNIMPLEMENTED("an expression from the future");
}

class Number final : public Calculator::Value::Server {
public:
  explicit Number(double n) : n(n) {}
  kj::Promise<void> read(ReadContext context) override {
    context.getResults().setValue(n);
    return kj::READY_NOW;
  }

private:
  double n;
};

class Defined final : public Calculator::Function::Server {
public:
  Defined(uint32_t count, Calculator::Expression::Reader from) : count(count) { body.setRoot(from); }
  kj::Promise<void> call(CallContext context) override {
    Numbers in = context.getParams().getParams();
    KJ_REQUIRE(in.size() == count, "wrong number of parameters");
    auto params = kj::heapArrayBuilder<double>(in.size());
    for (double d : in)
      params.add(d);
    return compute(body.getRoot<Calculator::Expression>().asReader(), params.finish())
        .then([context](double d) mutable { context.getResults().setValue(d); });
  }

private:
  uint32_t count;
  capnp::MallocMessageBuilder body;
};

class Builtin final : public Calculator::Function::Server {
public:
  explicit Builtin(Calculator::Operator op) : op(op) {}
  kj::Promise<void> call(CallContext context) override {
    Numbers in = context.getParams().getParams();
    KJ_REQUIRE(in.size() == 2, "an operator has two parameters");
    double a = in[0], b = in[1];
    context.getResults().setValue(op == Calculator::Operator::ADD        ? a + b
                                  : op == Calculator::Operator::SUBTRACT ? a - b
                                  : op == Calculator::Operator::MULTIPLY ? a * b
                                                                         : a / b);
    return kj::READY_NOW;
  }

private:
  Calculator::Operator op;
};

class Power final : public Calculator::Function::Server {
public:
  kj::Promise<void> call(CallContext context) override {
    Numbers in = context.getParams().getParams();
    context.getResults().setValue(std::pow(in[0], in[1]));
    return kj::READY_NOW;
  }
};

class Whole final : public Calculator::Server {
public:
  kj::Promise<void> evaluate(EvaluateContext context) override {
    return compute(context.getParams().getExpression(), nullptr).then([context](double d) mutable {
      context.getResults().setValue(kj::heap<Number>(d));
    });
  }
  kj::Promise<void> defFunction(DefFunctionContext context) override {
    auto p = context.getParams();
    context.getResults().setFunc(kj::heap<Defined>(p.getParamCount(), p.getBody()));
    return kj::READY_NOW;
  }
  kj::Promise<void> getOperator(GetOperatorContext context) override {
    context.getResults().setFunc(kj::heap<Builtin>(context.getParams().getOp()));
    return kj::READY_NOW;
  }
};

int ask(const char* address) {
  capnp::EzRpcClient client(address);
  auto& scope = client.getWaitScope();
  auto calculator = client.getMain<Calculator>();
  auto operation = [&](Calculator::Operator op) {
    auto r = calculator.getOperatorRequest();
    r.setOp(op);
    return r.send().getFunc();
  };
  auto add = operation(Calculator::Operator::ADD), multiply = operation(Calculator::Operator::MULTIPLY),
       subtract = operation(Calculator::Operator::SUBTRACT);
  auto print = [&](const char* what, Calculator::Value::Client value) {
    std::printf("%s = %g\n", what, value.readRequest().send().wait(scope).getValue());
  };
  auto two = [](Calculator::Expression::Builder e, Calculator::Function::Client f) {
    auto c = e.initCall();
    c.setFunction(f);
    return c.initParams(2);
  };
  {
    auto r = calculator.evaluateRequest();
    r.getExpression().setLiteral(123);
    print("123", r.send().getValue());
  }
  {
    auto r = calculator.evaluateRequest();
    auto outer = two(r.getExpression(), subtract);
    auto inner = two(outer[0], add);
    inner[0].setLiteral(123);
    inner[1].setLiteral(45);
    outer[1].setLiteral(67);
    print("123 + 45 - 67", r.send().getValue());
  }
  {
    auto r = calculator.evaluateRequest();
    auto args = two(r.getExpression(), multiply);
    args[0].setLiteral(4);
    args[1].setLiteral(6);
    auto product = r.send().getValue();
    for (int plus = 3; plus <= 5; plus += 2) {
      auto next = calculator.evaluateRequest();
      auto sum = two(next.getExpression(), add);
      sum[0].setPreviousResult(product);
      sum[1].setLiteral(plus);
      print(kj::str("4 * 6 + ", plus).cStr(), next.send().getValue());
    }
  }
  auto define = calculator.defFunctionRequest();
  define.setParamCount(2);
  auto sum = two(define.getBody(), add);
  auto product = two(sum[0], multiply);
  product[0].setParameter(0);
  product[1].setLiteral(100);
  sum[1].setParameter(1);
  Calculator::Function::Client f = define.send().getFunc();
  define = calculator.defFunctionRequest();
  define.setParamCount(1);
  product = two(define.getBody(), multiply);
  auto inner = two(product[0], f);
  inner[0].setParameter(0);
  sum = two(inner[1], add);
  sum[0].setParameter(0);
  sum[1].setLiteral(1);
  product[1].setLiteral(2);
  Calculator::Function::Client g = define.send().getFunc();
  {
    auto r = calculator.evaluateRequest();
    auto args = two(r.getExpression(), f);
    args[0].setLiteral(12);
    args[1].setLiteral(34);
    print("f(12, 34)", r.send().getValue());
  }
  {
    auto r = calculator.evaluateRequest();
    auto c = r.getExpression().initCall();
    c.setFunction(g);
    c.initParams(1)[0].setLiteral(21);
    print("g(21)", r.send().getValue());
  }
  {
    auto r = calculator.evaluateRequest();
    auto args = two(r.getExpression(), kj::heap<Power>());
    args[0].setLiteral(2);
    sum = two(args[1], add);
    sum[0].setLiteral(4);
    sum[1].setLiteral(5);
    print("2 ^ (4 + 5)", r.send().getValue());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3)
    return 2;
  if (std::strcmp(argv[1], "ask") == 0)
    return ask(argv[2]);
  capnp::EzRpcServer server(kj::heap<Whole>(), argv[2]);
  auto port = server.getPort().wait(server.getWaitScope());
  if (std::strncmp(argv[2], "unix:", 5) == 0)
    std::printf("LISTEN %s\n", argv[2]);
  else
    std::printf("LISTEN 127.0.0.1:%u\n", port);
  std::fflush(stdout);
  kj::NEVER_DONE.wait(server.getWaitScope());
}
