/* A calculator for whoever connects.
 *
 *     calculator-server ADDRESS         (unix:PATH or HOST:PORT; port 0: any)
 *
 *     cc calculator-server.c calculator.capnp.c calculator.capnp.rpc.c $(pkg-config --cflags --libs ww-capnp)
 *
 * Three kinds of objects: the calculator, values, functions. An expression may use values and functions that
 * live elsewhere, so evaluating one takes a while: it is a tree of nodes, each of which waits for its
 * arguments, then calls its function.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ww/rpc_fd.h>

#include "calculator.capnp.rpc.h"

typedef struct calculator_Calculator_Expression_r expression;

static struct ww_rpc_fd *loop;

/* ---- evaluation */

/* One expression being evaluated for one call. */
struct job {
    struct ww_rpc_call *call;
    void (*finish)(struct ww_rpc_call *call, double value);
    double *params; /* of the function whose body it is */
    uint32_t param_count;
    uint32_t open; /* nodes that are not finished */
    double value;
    ww_err err;
    char reason[160];
};

/* Something that has to be asked for: a value, or a function's result. */
struct node {
    struct job *job;
    struct node *parent; /* NULL: the whole */
    uint32_t slot;       /* which of its arguments */
    struct ww_rpc_wait wait;
    struct ww_rpc_request *request;
    struct ww_cap *function;
    uint32_t missing, count; /* arguments */
    double args[];
};

static void node_go(struct node *n);

static void job_fail(struct job *job, ww_err err, const char *reason)
{
    if (job->err == 0)
        snprintf(job->reason, sizeof job->reason, "%s", reason);
    job->err = job->err ? job->err : err;
}

static void job_settle(struct job *job)
{
    if (job->open > 0)
        return;
    if (job->err < 0)
        ww_rpc_call_fail(job->call, job->err, "%s", job->reason);
    else
        job->finish(job->call, job->value);
    free(job->params);
    free(job);
}

static void deliver(struct job *job, struct node *parent, uint32_t slot, double value)
{
    if (!parent)
        job->value = value;
    else
        parent->args[slot] = value;
    if (parent && --parent->missing == 0)
        node_go(parent);
}

static void node_done(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    struct node *n = (struct node *)(void *)((char *)wait - offsetof(struct node, wait));
    struct job *job = n->job;
    ww_err err = ww_rpc_request_status(request);
    /* Value.read and Function.call answer alike: one number. */
    double value =
        calculator_Calculator_Value_read_results_value(calculator_Calculator_Value_read_results(request));
    if (err < 0)
        job_fail(job, err, ww_rpc_request_reason(request));
    deliver(job, n->parent, n->slot, value); /* also after a failure: who waits is to end */
    ww_rpc_request_free(request);
    ww_cap_unref(n->function);
    free(n);
    job->open--;
    job_settle(job);
}

/* All arguments are there. */
static void node_go(struct node *n)
{
    if (n->job->err == 0 && !n->request) {
        struct calculator_Calculator_Function_call_params_b p =
            calculator_Calculator_Function_call_begin(n->function, &n->request);
        struct ww_lb list = calculator_Calculator_Function_call_params_init_params(p, n->count);
        for (uint32_t i = 0; n->request && i < n->count; i++)
            ww_lb_set_f64(list, i, n->args[i]);
    }
    if (n->request) {
        ww_rpc_request_send(n->request, &n->wait);
        return;
    }
    job_fail(n->job, WW_EFAILED, "an expression names nothing"); /* or something else failed: this ends too */
    struct job *job = n->job;
    deliver(job, n->parent, n->slot, 0);
    ww_cap_unref(n->function);
    free(n);
    job->open--;
}

static struct node *node_new(struct job *job, struct node *parent, uint32_t slot, uint32_t count)
{
    struct node *n = calloc(1, sizeof *n + count * sizeof n->args[0]);
    if (!n) {
        job_fail(job, WW_EOVERLOADED, "out of memory");
        deliver(job, parent, slot, 0);
        return NULL;
    }
    n->job = job;
    n->parent = parent;
    n->slot = slot;
    n->count = n->missing = count;
    n->wait.done = node_done;
    job->open++;
    return n;
}

/* Goes down the tree; a message is nested at most 64 deep. */
static void evaluate(struct job *job, struct node *parent, uint32_t slot, expression e)
{
    switch (calculator_Calculator_Expression_which(e)) {
    case calculator_Calculator_Expression_which_literal:
        deliver(job, parent, slot, calculator_Calculator_Expression_literal(e));
        return;
    case calculator_Calculator_Expression_which_parameter: {
        uint32_t index = calculator_Calculator_Expression_parameter(e);
        if (index >= job->param_count)
            job_fail(job, WW_EFAILED, "there is no such parameter");
        deliver(job, parent, slot, index < job->param_count ? job->params[index] : 0);
        return;
    }
    case calculator_Calculator_Expression_which_previousResult: {
        struct node *n = node_new(job, parent, slot, 0);
        if (n) {
            calculator_Calculator_Value_read_begin(
                calculator_Calculator_Expression_previousResult(e), &n->request);
            node_go(n);
        }
        return;
    }
    case calculator_Calculator_Expression_which_call: {
        struct calculator_Calculator_Expression_call_r call = calculator_Calculator_Expression_call(e);
        struct calculator_Calculator_Expression_l params = calculator_Calculator_Expression_call_params(call);
        struct node *n = node_new(job, parent, slot, params.l.count);
        if (!n)
            return;
        n->function = ww_cap_ref(calculator_Calculator_Expression_call_function(call));
        if (params.l.count == 0)
            node_go(n);
        for (uint32_t i = 0, count = params.l.count; i < count; i++)
            evaluate(job, n, i, calculator_Calculator_Expression_l_at(params, i));
        return;
    }
    default:
        job_fail(job, WW_EUNIMPLEMENTED, "this calculator is older than the expression");
        deliver(job, parent, slot, 0);
    }
}

static void job_run(struct ww_rpc_call *call, expression e, double *params, uint32_t param_count,
    void (*finish)(struct ww_rpc_call *call, double value))
{
    struct job *job = calloc(1, sizeof *job);
    if (!job) {
        ww_rpc_call_fail(call, WW_EOVERLOADED, "out of memory");
        free(params);
        return;
    }
    job->call = call;
    job->finish = finish;
    job->params = params;
    job->param_count = param_count;
    job->open = 1; /* until all nodes were made */
    evaluate(job, NULL, 0, e);
    job->open--;
    job_settle(job);
}

/* ---- values */

struct value {
    struct calculator_Calculator_Value_server server;
    double number;
};

static void value_read(struct calculator_Calculator_Value_server *self, struct ww_rpc_call *call)
{
    calculator_Calculator_Value_read_results_set_value(
        calculator_Calculator_Value_read_answer(call), ((struct value *)self)->number);
    ww_rpc_call_return(call);
}

static void value_drop(struct calculator_Calculator_Value_server *self)
{
    free(self);
}

static const struct calculator_Calculator_Value_ops value_ops = {.read = value_read, .drop = value_drop};

static void finish_value(struct ww_rpc_call *call, double number)
{
    struct value *v = calloc(1, sizeof *v);
    struct ww_cap *cap;
    if (v)
        calculator_Calculator_Value_server_init(&v->server, &value_ops);
    if (!v || calculator_Calculator_Value_server_cap(ww_rpc_fd_vat(loop), &v->server, &cap) < 0) {
        free(v);
        ww_rpc_call_fail(call, WW_EOVERLOADED, "out of memory");
        return;
    }
    v->number = number;
    calculator_Calculator_evaluate_results_set_value(calculator_Calculator_evaluate_answer(call), cap);
    ww_cap_unref(cap);
    ww_rpc_call_return(call);
}

/* ---- functions: operators, and those that clients defined */

struct function {
    struct calculator_Calculator_Function_server server;
    enum calculator_Calculator_Operator op; /* of an operator */
    uint32_t param_count;
    struct ww_msg body; /* of a defined one: a copy, with its own references to capabilities */
};

static void finish_number(struct ww_rpc_call *call, double number)
{
    calculator_Calculator_Function_call_results_set_value(
        calculator_Calculator_Function_call_answer(call), number);
    ww_rpc_call_return(call);
}

static struct ww_lr params_of(struct ww_rpc_call *call)
{
    return calculator_Calculator_Function_call_params_params(
        calculator_Calculator_Function_call_params(call));
}

static void operator_call(struct calculator_Calculator_Function_server *self, struct ww_rpc_call *call)
{
    struct ww_lr params = params_of(call);
    double a = ww_lr_f64(params, 0), b = ww_lr_f64(params, 1);
    if (params.count != 2) {
        ww_rpc_call_fail(call, WW_EFAILED, "an operator has two parameters, not %u", (unsigned)params.count);
        return;
    }
    switch (((struct function *)self)->op) {
    case calculator_Calculator_Operator_add:
        finish_number(call, a + b);
        return;
    case calculator_Calculator_Operator_subtract:
        finish_number(call, a - b);
        return;
    case calculator_Calculator_Operator_multiply:
        finish_number(call, a * b);
        return;
    default:
        finish_number(call, a / b);
    }
}

static void defined_call(struct calculator_Calculator_Function_server *self, struct ww_rpc_call *call)
{
    struct function *f = (struct function *)self;
    struct ww_lr params = params_of(call);
    if (params.count != f->param_count) {
        ww_rpc_call_fail(call, WW_EFAILED, "the function has %u parameters, not %u", (unsigned)f->param_count,
            (unsigned)params.count);
        return;
    }
    double *values = calloc(params.count + 1, sizeof *values);
    for (uint32_t i = 0; values && i < params.count; i++)
        values[i] = ww_lr_f64(params, i);
    job_run(call, calculator_Calculator_Expression_r_root(&f->body), values, values ? params.count : 0,
        finish_number);
}

static void function_drop(struct calculator_Calculator_Function_server *self)
{
    ww_msg_fini(&((struct function *)self)->body);
    free(self);
}

static const struct calculator_Calculator_Function_ops operator_ops = {
    .call = operator_call, .drop = function_drop};
static const struct calculator_Calculator_Function_ops defined_ops = {
    .call = defined_call, .drop = function_drop};

/* NULL without memory. */
static struct ww_cap *function_new(
    const struct calculator_Calculator_Function_ops *ops, struct function **ret_function)
{
    struct function *f = calloc(1, sizeof *f);
    struct ww_cap *cap;
    if (!f)
        return NULL;
    ww_msg_init(&f->body, &ww_rpc_cap_ops);
    calculator_Calculator_Function_server_init(&f->server, ops);
    if (calculator_Calculator_Function_server_cap(ww_rpc_fd_vat(loop), &f->server, &cap) < 0) {
        free(f);
        return NULL;
    }
    *ret_function = f;
    return cap;
}

/* ---- the calculator: one struct of functions */

static void on_evaluate(struct calculator_Calculator_server *self, struct ww_rpc_call *call)
{
    (void)self;
    job_run(call,
        calculator_Calculator_evaluate_params_expression(calculator_Calculator_evaluate_params(call)), NULL,
        0, finish_value);
}

static void on_def_function(struct calculator_Calculator_server *self, struct ww_rpc_call *call)
{
    struct calculator_Calculator_defFunction_params_r p = calculator_Calculator_defFunction_params(call);
    int32_t count = calculator_Calculator_defFunction_params_paramCount(p);
    struct function *f;
    struct ww_cap *cap = count < 0 ? NULL : function_new(&defined_ops, &f);
    (void)self;
    if (!cap) {
        ww_rpc_call_fail(call, WW_EFAILED, count < 0 ? "fewer than no parameters" : "out of memory");
        return;
    }
    f->param_count = (uint32_t)count;
    ww_pb_set_struct(ww_msg_root_builder(&f->body), calculator_Calculator_defFunction_params_body(p).s);
    if (ww_msg_err(&f->body) < 0) {
        ww_rpc_call_fail(call, WW_EFAILED, "the body cannot be copied");
    } else {
        calculator_Calculator_defFunction_results_set_func(
            calculator_Calculator_defFunction_answer(call), cap);
        ww_rpc_call_return(call);
    }
    ww_cap_unref(cap);
}

static void on_get_operator(struct calculator_Calculator_server *self, struct ww_rpc_call *call)
{
    enum calculator_Calculator_Operator op =
        calculator_Calculator_getOperator_params_op(calculator_Calculator_getOperator_params(call));
    struct function *f;
    struct ww_cap *cap =
        (unsigned)op > calculator_Calculator_Operator_divide ? NULL : function_new(&operator_ops, &f);
    (void)self;
    if (!cap) {
        ww_rpc_call_fail(call, WW_EFAILED, "no such operator");
        return;
    }
    f->op = op;
    calculator_Calculator_getOperator_results_set_func(calculator_Calculator_getOperator_answer(call), cap);
    ww_rpc_call_return(call);
    ww_cap_unref(cap);
}

static const struct calculator_Calculator_ops calculator_ops = {
    .evaluate = on_evaluate, .defFunction = on_def_function, .getOperator = on_get_operator};

/* ---- */

static void on_signal(int number)
{
    (void)number;
    ww_rpc_fd_stop(loop);
}

int main(int argc, char **argv)
{
    struct calculator_Calculator_server server;
    struct ww_rpc_conn_config config = {0};
    struct ww_rpc_fd_listener *listener;
    struct ww_diag diag = {0};
    bool help = argc == 2 && strcmp(argv[1], "--help") == 0;
    if (argc != 2 || help) {
        fprintf(help ? stdout : stderr,
            "usage: calculator-server ADDRESS\n"
            "Calculates for whoever connects to unix:PATH or HOST:PORT.\n");
        return help ? 0 : 2;
    }
    calculator_Calculator_server_init(&server, &calculator_ops);
    ww_err err = ww_rpc_fd_new(NULL, &loop);
    if (err == 0)
        err = calculator_Calculator_server_cap(ww_rpc_fd_vat(loop), &server, &config.bootstrap);
    if (err == 0)
        err = ww_rpc_fd_listen(loop, argv[1], &config, NULL, &listener, &diag);
    if (err < 0) {
        fprintf(stderr, "calculator-server: %s\n", diag.text[0] ? diag.text : ww_err_text(err));
        return 1;
    }
    printf("LISTEN %s\n", ww_rpc_fd_listener_address(listener));
    fflush(stdout);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    err = ww_rpc_fd_run(loop);
    ww_cap_unref(config.bootstrap);
    ww_rpc_fd_free(loop);
    return err < 0;
}
