/* A node's disk: paths and contents. A write is whole or has not happened, as env.h demands of the real one.
 */
#include <stdio.h>

#include "sim/internal.h"

struct file {
    struct ww_list link; /* in node->files */
    char *path;
    bool dir;
    unsigned mode;
    uint8_t *data; /* NULL when empty */
    size_t len;
};

static void file_free(struct file *f)
{
    ww_list_remove(&f->link);
    ww_free(f->path);
    ww_free(f->data);
    ww_free(f);
}

void ww_sim_disk_free(struct ww_sim_node *node)
{
    WW_LIST_FOR_SAFE(it, &node->files)
    file_free(WW_LIST_ENTRY(it, struct file, link));
}

static struct file *lookup(struct ww_sim_node *node, const char *path, size_t len)
{
    while (len > 1 && path[len - 1] == '/')
        len--;
    WW_LIST_FOR(it, &node->files)
    {
        struct file *f = WW_LIST_ENTRY(it, struct file, link);
        if (strlen(f->path) == len && memcmp(f->path, path, len) == 0)
            return f;
    }
    return NULL;
}

static struct file *add(struct ww_sim_node *node, const char *path, size_t len)
{
    struct file *f = WW_NEW(struct file);
    char *copy = ww_alloc(len + 1);
    if (!f || !copy) {
        ww_free(f);
        ww_free(copy);
        return NULL;
    }
    memcpy(copy, path, len);
    copy[len] = '\0';
    f->path = copy;
    ww_list_push_back(&node->files, &f->link);
    return f;
}

/* The directory must exist; the root and the working directory always do. */
static bool parent_exists(struct ww_sim_node *node, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return true;
    struct file *dir = lookup(node, path, (size_t)(slash - path));
    return dir && dir->dir;
}

ww_err ww_sim_file_read(struct ww_env *env, const char *path, struct ww_buf *out)
{
    struct file *f = lookup(ww_sim_host_of(env)->node, path, strlen(path));
    if (!f)
        return WW_ENOTFOUND;
    return f->dir ? WW_EINVAL : ww_buf_append(out, ww_bytes(f->data, f->len));
}

ww_err ww_sim_file_write(struct ww_env *env, const char *path, struct ww_bytes data, unsigned mode)
{
    struct ww_sim_host *host = ww_sim_host_of(env);
    struct ww_sim_node *node = host->node;
    size_t len = strlen(path);
    if (host->dead || node->disk_err)
        return host->dead ? WW_EIO : node->disk_err;
    if (len == 0 || path[len - 1] == '/')
        return WW_EINVAL;
    if (!parent_exists(node, path))
        return WW_ENOTFOUND;
    struct file *f = lookup(node, path, len);
    if (f && f->dir)
        return WW_EINVAL;
    uint8_t *copy = data.len ? ww_alloc(data.len) : NULL;
    if (data.len && !copy)
        return WW_ENOMEM;
    if (!f)
        f = add(node, path, len);
    if (!f) {
        ww_free(copy);
        return WW_ENOMEM;
    }
    if (data.len)
        memcpy(copy, data.ptr, data.len);
    ww_free(f->data);
    f->data = copy;
    f->len = data.len;
    f->mode = mode;
    return WW_OK;
}

static ww_err make_one(struct ww_sim_node *node, const char *path, size_t len, unsigned mode)
{
    struct file *f = lookup(node, path, len);
    if (f)
        return f->dir ? WW_OK : WW_EEXIST;
    f = add(node, path, len);
    if (!f)
        return WW_ENOMEM;
    f->dir = true;
    f->mode = mode;
    return WW_OK;
}

ww_err ww_sim_dir_make(struct ww_env *env, const char *path, unsigned mode)
{
    struct ww_sim_host *host = ww_sim_host_of(env);
    size_t len = strlen(path);
    if (host->dead || host->node->disk_err)
        return host->dead ? WW_EIO : host->node->disk_err;
    while (len > 1 && path[len - 1] == '/')
        len--;
    if (len == 0)
        return WW_EINVAL;
    for (size_t i = 1; i < len; i++) {
        if (path[i] == '/' && path[i - 1] != '/')
            WW_TRY(make_one(host->node, path, i, mode));
    }
    return len == 1 && path[0] == '/' ? WW_OK : make_one(host->node, path, len, mode);
}
