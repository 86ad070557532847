/* Our side: `ww-restore serve FOLDER ADDRESS NOW` is a vault at that time; the other commands are one
 * conversation with a vault each, of any implementation:
 *
 *     ADDRESS add NAME N             prints "sum SUM"
 *     ADDRESS save NAME [OWNER]      prints "ref HEX"
 *     ADDRESS restore OWNER HEX N    adds N to what the reference leads to, and prints "sum SUM"
 *     ADDRESS revoke OWNER HEX       prints "revoked"
 *
 * or "refused KIND: TEXT". An OWNER of "-" is nobody. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "peer.h"
#include "ww/persist.h"

enum { TIMEOUT_MS = 60000 };

void die(const char *why)
{
    fprintf(stderr, "ww-restore: %s\n", why);
    exit(1);
}

void must(ww_err err)
{
    if (err < 0)
        die(ww_err_text(err));
}

static struct ww_rpc_fd *loop;

/* Whether it went well; says so if not. */
static bool call(struct ww_rpc_request *request)
{
    static const char *const kinds[] = {"failed", "overloaded", "disconnected", "unimplemented"};
    ww_err err = ww_rpc_fd_call(loop, request, TIMEOUT_MS);
    if (err < 0)
        printf(
            "refused %s: %s\n", kinds[ww_err_kind(err)], request ? ww_rpc_request_reason(request) : "null");
    return err == 0;
}

static void add(struct ww_cap *counter, const char *n)
{
    struct ww_rpc_request *request;
    restore_Counter_add_params_set_n(restore_Counter_add_begin(counter, &request), strtoull(n, NULL, 10));
    if (call(request))
        printf("sum %" PRIu64 "\n", restore_Counter_add_results_sum(restore_Counter_add_results(request)));
    ww_rpc_request_free(request);
}

static void save(struct ww_cap *counter, const char *owner)
{
    struct ww_rpc_request *request;
    must(ww_persist_save_request(counter, ww_bytes_str(owner), &request));
    if (call(request)) {
        struct ww_bytes ref = ww_persist_save_ref(request);
        printf("ref ");
        for (size_t i = 0; i < ref.len; i++)
            printf("%02x", ref.ptr[i]);
        printf("\n");
    }
    ww_rpc_request_free(request);
}

static struct ww_bytes ref_of(const char *hex)
{
    static uint8_t ref[4096];
    size_t len = strlen(hex) / 2;
    if (len > sizeof ref || ww_hex_decode(ww_bytes_str(hex), ref, len) < 0)
        die("no such reference");
    return ww_bytes(ref, len);
}

/* The calls on it are pipelined on what restore will return. */
static void restore(struct ww_cap *restorer, const char *hex, const char *n)
{
    struct ww_rpc_request *request;
    struct ww_cap *counter;
    ww_Restorer_restore_params_of_Data_set_ref(
        ww_Restorer_of_Data_restore_begin(restorer, &request), ref_of(hex));
    must(request ? 0 : WW_ENOMEM);
    ww_rpc_request_send(request, NULL);
    must(ww_Restorer_of_Data_restore_pipeline_cap(request, &counter));
    add(counter, n);
    ww_cap_unref(counter);
    ww_rpc_request_free(request);
}

static void revoke(struct ww_cap *restorer, const char *hex)
{
    struct ww_rpc_request *request;
    ww_Restorer_revoke_params_of_Data_set_ref(
        ww_Restorer_of_Data_revoke_begin(restorer, &request), ref_of(hex));
    if (call(request))
        printf("revoked\n");
    ww_rpc_request_free(request);
}

static struct ww_cap *counter_get(struct ww_cap *vault, const char *name)
{
    struct ww_rpc_request *request;
    struct ww_cap *cap;
    restore_Vault_counter_params_set_name(restore_Vault_counter_begin(vault, &request), ww_text(name));
    must(request ? 0 : WW_ENOMEM);
    ww_rpc_request_send(request, NULL);
    must(restore_Vault_counter_pipeline_counter(request, &cap));
    ww_rpc_request_free(request);
    return cap;
}

static struct ww_cap *restorer_get(struct ww_cap *vault, const char *owner)
{
    struct ww_rpc_request *request;
    struct ww_cap *cap;
    restore_Vault_login_params_set_name(restore_Vault_login_begin(vault, &request), ww_text(owner));
    must(request ? 0 : WW_ENOMEM);
    ww_rpc_request_send(request, NULL);
    must(restore_Vault_login_pipeline_restorer(request, &cap));
    ww_rpc_request_free(request);
    return cap;
}

int main(int argc, char **argv)
{
    struct ww_cap *vault, *to;
    struct ww_diag diag = {0};
    if (argc == 5 && strcmp(argv[1], "serve") == 0)
        return vault_serve(argv[2], argv[3], argv[4]);
    if (argc < 4)
        die("see peer.c for what it takes");
    const char *command = argv[2], *who = strcmp(argv[3], "-") == 0 ? "" : argv[3];
    must(ww_rpc_fd_new(NULL, &loop));
    if (ww_rpc_fd_dial(loop, argv[1], TIMEOUT_MS, &vault, &diag) < 0)
        die(diag.text);
    bool of_counter = strcmp(command, "add") == 0 || strcmp(command, "save") == 0;
    to = of_counter ? counter_get(vault, who) : restorer_get(vault, who);
    if (argc == 5 && strcmp(command, "add") == 0)
        add(to, argv[4]);
    else if (argc <= 5 && strcmp(command, "save") == 0)
        save(to, argc == 5 ? argv[4] : "");
    else if (argc == 6 && strcmp(command, "restore") == 0)
        restore(to, argv[4], argv[5]);
    else if (argc == 5 && strcmp(command, "revoke") == 0)
        revoke(to, argv[4]);
    else
        die("see peer.c for what it takes");
    ww_cap_unref(to);
    ww_cap_unref(vault);
    ww_rpc_fd_free(loop);
    return 0;
}
