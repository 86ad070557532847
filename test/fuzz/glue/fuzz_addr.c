/* Addresses as people write them: what is accepted says the same when it is written down again. */
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "glue/addr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[600], again[600];
    struct ww_glue_addr a, b;
    struct ww_diag diag = {0};
    if (size >= sizeof text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (ww_glue_addr_parse(text, &a, &diag) < 0) {
        WW_ASSERT(diag.code == WW_EINVAL && diag.text[0]);
        return 0;
    }
    if (a.is_unix) {
        WW_ASSERT(a.un.sun_path[0] && memchr(a.un.sun_path, 0, sizeof a.un.sun_path));
        snprintf(again, sizeof again, "unix:%s", a.un.sun_path);
    } else {
        unsigned long port = strtoul(a.port, NULL, 10);
        WW_ASSERT(a.port[0] && port <= 65535 && memchr(a.host, 0, sizeof a.host));
        const char *host = a.host[0] ? a.host : "*";
        snprintf(
            again, sizeof again, strchr(host, ':') || host[0] == '[' ? "[%s]:%s" : "%s:%s", host, a.port);
    }
    WW_ASSERT(ww_glue_addr_parse(again, &b, NULL) == 0);
    WW_ASSERT(a.is_unix == b.is_unix && strcmp(a.host, b.host) == 0 && strcmp(a.port, b.port) == 0 &&
        strcmp(a.un.sun_path, b.un.sun_path) == 0);
    return 0;
}
