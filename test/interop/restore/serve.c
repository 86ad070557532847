/* The vault: counters by name in a folder, with the key and the table of references beside them. The process
 * may be killed at any time. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "peer.h"
#include "service/sturdy.h"

enum { NAME_MAX_BYTES = 40, COUNTERS = 16, FILE_MAX = 65536 };

struct counter {
    struct restore_Counter_server server;
    struct ww_cap *cap;
    char name[NAME_MAX_BYTES + 1];
};

static struct {
    struct restore_Vault_server server;
    struct ww_sturdy sturdy;
    struct ww_env env;
    struct ww_persist *table;
    struct ww_rpc_vat *vat;
    struct counter counter[COUNTERS];
    uint64_t now_s;
    int folder;
} vault;

/* ---- files */

static ssize_t file_read(const char *name, void *out, size_t max)
{
    int fd = openat(vault.folder, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, out, max);
    close(fd);
    return n;
}

/* Aside, then renamed: whoever is killed meanwhile leaves the old one. */
static void file_write(const char *name, const void *data, size_t len)
{
    int fd = openat(vault.folder, "aside", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, len) != (ssize_t)len || close(fd) < 0 ||
        renameat(vault.folder, "aside", vault.folder, name) < 0)
        die("cannot write a file of the vault");
}

/* ---- counters */

static uint64_t sum_read(const struct counter *c)
{
    uint64_t sum = 0;
    return file_read(c->name, &sum, sizeof sum) == sizeof sum ? sum : 0;
}

static void on_add(struct restore_Counter_server *server, struct ww_rpc_call *call)
{
    struct counter *c = WW_CONTAINER_OF(server, struct counter, server);
    uint64_t sum = sum_read(c) + restore_Counter_add_params_n(restore_Counter_add_params(call));
    file_write(c->name, &sum, sizeof sum);
    restore_Counter_add_results_set_sum(restore_Counter_add_answer(call), sum);
    ww_rpc_call_return(call);
}

/* In front of what is generated: Persistent. */
static void counter_dispatch(struct ww_rpc_server *rpc, struct ww_rpc_call *call)
{
    struct counter *c = WW_CONTAINER_OF(rpc, struct counter, server.rpc);
    uint64_t expires_s = strstr(c->name, "brief") ? vault.now_s + 60 : 0;
    if (!ww_persist_serve(vault.table, call, ww_bytes_str(c->name), expires_s))
        restore_Counter_server_ops.dispatch(rpc, call);
}

static struct counter *counter_of(struct ww_bytes name)
{
    static const struct restore_Counter_ops ops = {.add = on_add};
    static const struct ww_rpc_server_ops server_ops = {.dispatch = counter_dispatch};
    if (name.len == 0 || name.len > NAME_MAX_BYTES || memchr(name.ptr, '/', name.len))
        return NULL;
    for (size_t i = 0; i < COUNTERS; i++) {
        struct counter *c = &vault.counter[i];
        if (c->cap && ww_bytes_eq(ww_bytes_str(c->name), name))
            return c;
        if (c->cap)
            continue;
        memcpy(c->name, name.ptr, name.len);
        restore_Counter_server_init(&c->server, &ops);
        c->server.rpc.ops = &server_ops;
        must(restore_Counter_server_cap(vault.vat, &c->server, &c->cap));
        return c;
    }
    return NULL;
}

/* ---- the vault */

static void on_counter(struct restore_Vault_server *server, struct ww_rpc_call *call)
{
    WW_UNUSED(server);
    struct counter *c = counter_of(restore_Vault_counter_params_name(restore_Vault_counter_params(call)));
    if (!c) {
        ww_rpc_call_fail(call, WW_EINVAL, "no such counter can be");
        return;
    }
    restore_Vault_counter_results_set_counter(restore_Vault_counter_answer(call), c->cap);
    ww_rpc_call_return(call);
}

static void on_login(struct restore_Vault_server *server, struct ww_rpc_call *call)
{
    WW_UNUSED(server);
    struct ww_cap *restorer;
    struct ww_bytes owner = restore_Vault_login_params_name(restore_Vault_login_params(call));
    must(ww_persist_restorer(vault.table, vault.vat, owner, &restorer));
    restore_Vault_login_results_set_restorer(restore_Vault_login_answer(call), restorer);
    ww_cap_unref(restorer);
    ww_rpc_call_return(call);
}

static ww_err on_restore(struct ww_sturdy *self, struct ww_bytes object, struct ww_cap **ret_cap)
{
    WW_UNUSED(self);
    struct counter *c = counter_of(object);
    if (!c)
        return WW_ENOTFOUND;
    *ret_cap = ww_cap_ref(c->cap);
    return 0;
}

static void on_changed(struct ww_sturdy *self)
{
    WW_UNUSED(self);
    size_t len = ww_persist_bytes(vault.table);
    uint8_t *bytes = ww_alloc(len);
    if (!bytes)
        die("out of memory");
    ww_persist_write(vault.table, bytes);
    file_write("table", bytes, len);
    ww_free(bytes);
}

static void env_random(struct ww_env *env, void *out, size_t len)
{
    WW_UNUSED(env);
    if (getrandom(out, len, 0) != (ssize_t)len)
        die("no randomness");
}

static uint64_t env_wall(struct ww_env *env)
{
    WW_UNUSED(env);
    return vault.now_s * 1000000000u;
}

static void table_open(void)
{
    static const struct ww_env_ops env_ops = {.random = env_random, .wall_ns = env_wall};
    static const struct ww_sturdy_ops ops = {on_restore, on_changed};
    static uint8_t stored[FILE_MAX];
    uint8_t key[WW_STURDY_KEY_BYTES];
    struct ww_diag diag = {0};
    ssize_t len = file_read("table", stored, sizeof stored);
    vault.env.ops = &env_ops;
    if (file_read("key", key, sizeof key) != sizeof key) {
        if (len >= 0)
            die("the key is gone that the references in the table were sealed with: bring it back, or remove "
                "the table, and they lead to nothing");
        env_random(&vault.env, key, sizeof key);
        file_write("key", key, sizeof key);
    }
    must(ww_sturdy_new(&vault.sturdy, &ops, &vault.env, key, &vault.table));
    if (len >= 0 && ww_persist_load(vault.table, ww_bytes(stored, (size_t)len), &diag) < 0)
        die(diag.text);
}

int vault_serve(const char *folder, const char *address, const char *now_s)
{
    static const struct restore_Vault_ops ops = {.counter = on_counter, .login = on_login};
    struct ww_rpc_fd *loop;
    struct ww_rpc_fd_listener *listener;
    struct ww_rpc_conn_config offer = {0};
    struct ww_diag diag = {0};
    vault.now_s = strtoull(now_s, NULL, 10);
    vault.folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (vault.folder < 0)
        die("no such folder");
    must(ww_rpc_fd_new(NULL, &loop));
    vault.vat = ww_rpc_fd_vat(loop);
    table_open();
    restore_Vault_server_init(&vault.server, &ops);
    must(restore_Vault_server_cap(vault.vat, &vault.server, &offer.bootstrap));
    if (ww_rpc_fd_listen(loop, address, &offer, NULL, &listener, &diag) < 0)
        die(diag.text);
    printf("LISTEN %s\n", ww_rpc_fd_listener_address(listener));
    fflush(stdout);
    must(ww_rpc_fd_run(loop)); /* until it is killed */
    return 0;
}
