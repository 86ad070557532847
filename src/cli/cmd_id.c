#include "cli/commands.h"
#include "node/identity.h"
#include "os/os.h"
#include "p2p/peer_id.h"

int ww_cmd_id(const struct ww_cli_args *args)
{
    struct ww_os *os;
    struct ww_keypair key;
    struct ww_diag diag;
    bool created;
    if (!args->data) {
        fprintf(stderr,
            "ww id: name the directory with --data DIR; a node without one has a new identity each run\n");
        return 2;
    }
    if (ww_os_new(&os) < 0) {
        fprintf(stderr, "ww id: cannot start: out of memory or descriptors\n");
        return 1;
    }
    int code = 1;
    if (ww_identity_load(ww_os_env(os), args->data, &key, &created, &diag) < 0) {
        fprintf(stderr, "ww id: %s\n", diag.text);
    } else {
        struct ww_peer_id id;
        char text[WW_PEER_ID_TEXT_MAX];
        ww_peer_id_from_key(&key.pub, &id);
        ww_peer_id_format(&id, text);
        if (args->json)
            printf("{\"peer\":\"%s\",\"created\":%s}\n", text, created ? "true" : "false");
        else
            printf("%s\n", text);
        if (created && !args->json)
            fprintf(stderr, "ww id: made a new key in %s\n", args->data);
        ww_keypair_fini(&key);
        code = 0;
    }
    ww_os_free(os);
    return code;
}
