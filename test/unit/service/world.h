/* One simulated node with a vat that runs from its environment, for tests of services without a network. */
#ifndef WW_TEST_SERVICE_WORLD_H
#define WW_TEST_SERVICE_WORLD_H

#include "test/lib/test.h"

#include "sim/sim.h"
#include "ww/rpc.h"

struct world {
    struct ww_sim *sim;
    struct ww_sim_node *node;
    struct ww_env *env;
    struct ww_rpc_vat *vat;
    struct ww_rpc_vat_host host;
    struct ww_task task;
};

static inline void world_run_vat(struct ww_task *task)
{
    struct world *w = WW_CONTAINER_OF(task, struct world, task);
    if (ww_rpc_vat_run(w->vat, ww_env_now(w->env), 64))
        w->env->ops->post(w->env, task);
}

static inline void world_wake(struct ww_rpc_vat_host *host)
{
    struct world *w = WW_CONTAINER_OF(host, struct world, host);
    w->env->ops->post(w->env, &w->task);
}

static inline void world_init(struct world *w)
{
    struct ww_sim_conf conf;
    ww_sim_conf_default(&conf, 5);
    assert_ok(ww_sim_new(&conf, &w->sim));
    assert_ok(ww_sim_node_add(w->sim, "", 0, &w->node));
    w->env = ww_sim_node_env(w->node);
    ww_task_init(&w->task, world_run_vat);
    w->host.wake = world_wake;
    struct ww_rpc_vat_config vat = {.host = &w->host};
    assert_ok(ww_rpc_vat_new(&vat, &w->vat));
}

static inline void world_run(struct world *w, uint64_t ns)
{
    ww_sim_run_for(w->sim, ns);
}

static inline void world_fini(struct world *w)
{
    world_run(w, WW_NS_PER_S);
    while (ww_rpc_vat_run(w->vat, 0, 0)) {
    }
    ww_rpc_vat_free(w->vat);
    ww_sim_free(w->sim);
}

/* Counts one outcome. */
struct waiter {
    struct ww_rpc_wait wait;
    unsigned done;
};

static inline void waiter_done(struct ww_rpc_wait *wait, struct ww_rpc_request *request)
{
    WW_UNUSED(request);
    WW_CONTAINER_OF(wait, struct waiter, wait)->done++;
}

#endif
