/* Has a calculator calculate; each step shows one way in which objects travel.
 *
 *     calculator-client ADDRESS         (unix:PATH or HOST:PORT, as calculator-server prints it)
 *
 *     cc calculator-client.c calculator.capnp.c calculator.capnp.rpc.c $(pkg-config --cflags --libs ww-capnp)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ww/rpc_fd.h>

#include "calculator.capnp.rpc.h"

#define TIMEOUT_MS 10000

/* Names for what is long. */
typedef struct calculator_Calculator_Expression_b expression;
typedef struct calculator_Calculator_Expression_lb expressions;
#define literal calculator_Calculator_Expression_set_literal
#define previous_result calculator_Calculator_Expression_set_previousResult
#define parameter calculator_Calculator_Expression_set_parameter

static struct ww_rpc_fd *loop;
static struct ww_cap *calculator;

static void must(ww_err err, const char *what)
{
    if (err == 0)
        return;
    fprintf(stderr, "calculator-client: %s: %s\n", what, ww_err_text(err));
    exit(1);
}

/* `e` becomes a call of `function`; returns the places of its arguments. */
static expressions call(expression e, struct ww_cap *function, uint32_t arguments)
{
    struct calculator_Calculator_Expression_call_b c = calculator_Calculator_Expression_get_call(e);
    calculator_Calculator_Expression_call_set_function(c, function);
    return calculator_Calculator_Expression_call_init_params(c, arguments);
}

#define at calculator_Calculator_Expression_lb_at

/* The operator, before the answer is there: what we call on this promise follows the question to the server.
 */
static struct ww_cap *operator_of(enum calculator_Calculator_Operator op)
{
    struct ww_rpc_request *r;
    struct ww_cap *function;
    calculator_Calculator_getOperator_params_set_op(
        calculator_Calculator_getOperator_begin(calculator, &r), op);
    must(r ? 0 : WW_ENOMEM, "operator");
    ww_rpc_request_send(r, NULL);
    must(calculator_Calculator_getOperator_pipeline_func(r, &function), "operator");
    ww_rpc_request_free(r); /* the promise stays good */
    return function;
}

/* Begins to evaluate; fill the expression, then take the value. */
static expression begin(struct ww_rpc_request **ret_request)
{
    struct calculator_Calculator_evaluate_params_b p =
        calculator_Calculator_evaluate_begin(calculator, ret_request);
    must(*ret_request ? 0 : WW_ENOMEM, "evaluate");
    return calculator_Calculator_evaluate_params_init_expression(p);
}

static struct ww_cap *value_of(struct ww_rpc_request *evaluate)
{
    struct ww_cap *value;
    ww_rpc_request_send(evaluate, NULL);
    must(calculator_Calculator_evaluate_pipeline_value(evaluate, &value), "evaluate");
    ww_rpc_request_free(evaluate);
    return value;
}

/* The number, when it is there: the only place here that waits. */
static void print_take(const char *what, struct ww_cap *value)
{
    struct ww_rpc_request *r;
    calculator_Calculator_Value_read_begin(value, &r);
    ww_err err = ww_rpc_fd_call(loop, r, TIMEOUT_MS);
    if (err < 0)
        fprintf(stderr, "calculator-client: %s: %s\n", what, r ? ww_rpc_request_reason(r) : ww_err_text(err));
    if (err < 0)
        exit(1);
    printf("%s = %g\n", what,
        calculator_Calculator_Value_read_results_value(calculator_Calculator_Value_read_results(r)));
    ww_rpc_request_free(r);
    ww_cap_unref(value);
}

/* ---- a function that lives here, and is called by the server */

static void on_power(struct calculator_Calculator_Function_server *self, struct ww_rpc_call *c)
{
    struct ww_lr params =
        calculator_Calculator_Function_call_params_params(calculator_Calculator_Function_call_params(c));
    (void)self;
    if (params.count != 2) {
        ww_rpc_call_fail(c, WW_EFAILED, "a power has two parameters");
        return;
    }
    calculator_Calculator_Function_call_results_set_value(
        calculator_Calculator_Function_call_answer(c), pow(ww_lr_f64(params, 0), ww_lr_f64(params, 1)));
    ww_rpc_call_return(c);
}

static const struct calculator_Calculator_Function_ops power_ops = {.call = on_power};

/* ---- */

static void numbers(struct ww_cap *add, struct ww_cap *subtract)
{
    struct ww_rpc_request *r;
    literal(begin(&r), 123);
    print_take("123", value_of(r));

    expressions outer = call(begin(&r), subtract, 2); /* two operators, two round trips saved */
    expressions inner = call(at(outer, 0), add, 2);
    literal(at(inner, 0), 123);
    literal(at(inner, 1), 45);
    literal(at(outer, 1), 67);
    print_take("123 + 45 - 67", value_of(r));
}

static void results_as_arguments(struct ww_cap *add, struct ww_cap *multiply)
{
    struct ww_rpc_request *r;
    expressions args = call(begin(&r), multiply, 2);
    literal(at(args, 0), 4);
    literal(at(args, 1), 6);
    struct ww_cap *product = value_of(r); /* nobody has waited for it */
    for (int plus = 3; plus <= 5; plus += 2) {
        char what[32];
        args = call(begin(&r), add, 2);
        previous_result(at(args, 0), product);
        literal(at(args, 1), plus);
        snprintf(what, sizeof what, "4 * 6 + %d", plus);
        print_take(what, value_of(r));
    }
    ww_cap_unref(product);
}

static struct ww_cap *defined(struct ww_rpc_request *r)
{
    struct ww_cap *function;
    ww_rpc_request_send(r, NULL);
    must(calculator_Calculator_defFunction_pipeline_func(r, &function), "defFunction");
    ww_rpc_request_free(r);
    return function;
}

static expression define(int32_t parameters, struct ww_rpc_request **ret_request)
{
    struct calculator_Calculator_defFunction_params_b p =
        calculator_Calculator_defFunction_begin(calculator, ret_request);
    must(*ret_request ? 0 : WW_ENOMEM, "defFunction");
    calculator_Calculator_defFunction_params_set_paramCount(p, parameters);
    return calculator_Calculator_defFunction_params_init_body(p);
}

static void functions_there(struct ww_cap *add, struct ww_cap *multiply)
{
    struct ww_rpc_request *r;
    expressions sum = call(define(2, &r), add, 2); /* f(x, y) = x * 100 + y */
    expressions product = call(at(sum, 0), multiply, 2);
    parameter(at(product, 0), 0);
    literal(at(product, 1), 100);
    parameter(at(sum, 1), 1);
    struct ww_cap *f = defined(r);

    product = call(define(1, &r), multiply, 2); /* g(x) = f(x, x + 1) * 2 */
    expressions inner = call(at(product, 0), f, 2);
    parameter(at(inner, 0), 0);
    sum = call(at(inner, 1), add, 2);
    parameter(at(sum, 0), 0);
    literal(at(sum, 1), 1);
    literal(at(product, 1), 2);
    struct ww_cap *g = defined(r);

    expressions args = call(begin(&r), f, 2);
    literal(at(args, 0), 12);
    literal(at(args, 1), 34);
    print_take("f(12, 34)", value_of(r));
    literal(at(call(begin(&r), g, 1), 0), 21);
    print_take("g(21)", value_of(r));
    ww_cap_unref(f);
    ww_cap_unref(g);
}

static void function_here(struct ww_cap *add)
{
    /* The server may hold on to it longer than this function runs: until `drop`, or the end of the
     * connection. */
    static struct calculator_Calculator_Function_server power;
    struct ww_rpc_request *r;
    struct ww_cap *cap;
    calculator_Calculator_Function_server_init(&power, &power_ops);
    must(calculator_Calculator_Function_server_cap(ww_rpc_fd_vat(loop), &power, &cap), "function");
    expressions args = call(begin(&r), cap, 2);
    literal(at(args, 0), 2);
    expressions sum = call(at(args, 1), add, 2);
    literal(at(sum, 0), 4);
    literal(at(sum, 1), 5);
    print_take("2 ^ (4 + 5)", value_of(r));
    ww_cap_unref(cap);
}

int main(int argc, char **argv)
{
    struct ww_diag diag = {0};
    bool help = argc == 2 && strcmp(argv[1], "--help") == 0;
    if (argc != 2 || help) {
        fprintf(help ? stdout : stderr,
            "usage: calculator-client ADDRESS\n"
            "Asks the calculator at unix:PATH or HOST:PORT a few things.\n");
        return help ? 0 : 2;
    }
    must(ww_rpc_fd_new(NULL, &loop), "loop");
    if (ww_rpc_fd_dial(loop, argv[1], TIMEOUT_MS, &calculator, &diag) < 0) {
        fprintf(stderr, "calculator-client: %s\n", diag.text);
        return 1;
    }
    struct ww_cap *add = operator_of(calculator_Calculator_Operator_add);
    struct ww_cap *subtract = operator_of(calculator_Calculator_Operator_subtract);
    struct ww_cap *multiply = operator_of(calculator_Calculator_Operator_multiply);
    numbers(add, subtract);
    results_as_arguments(add, multiply);
    functions_there(add, multiply);
    function_here(add);
    ww_cap_unref(add);
    ww_cap_unref(subtract);
    ww_cap_unref(multiply);
    ww_cap_unref(calculator);
    ww_rpc_fd_free(loop);
    return 0;
}
