/* Small files, synchronously. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/internal.h"

enum { PATH_BYTES = 4096, READ_CHUNK = 16 << 10 };

static ww_err read_all(int fd, struct ww_buf *out, size_t *got)
{
    for (;;) {
        uint8_t *room, probe;
        size_t left = out->max - ww_buf_len(out), want = left < READ_CHUNK ? left : READ_CHUNK;
        if (want > 0)
            WW_TRY(ww_buf_reserve(out, want, &room));
        /* At the limit one more byte tells a file that fits from one that does not. */
        ssize_t n = want > 0 ? read(fd, room, want) : read(fd, &probe, 1);
        if (n == 0)
            return WW_OK;
        if (n < 0 && errno != EINTR)
            return ww_errno_err(errno);
        if (n > 0 && want == 0)
            return WW_ELIMIT;
        if (n > 0) {
            ww_buf_commit(out, (size_t)n);
            *got += (size_t)n;
        }
    }
}

ww_err ww_os_file_read(struct ww_env *env, const char *path, struct ww_buf *out)
{
    WW_UNUSED(env);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ww_errno_err(errno);
    size_t got = 0;
    ww_err err = read_all(fd, out, &got);
    close(fd);
    if (err)
        out->tail -= got; /* as it was before */
    return err;
}

static ww_err write_all(int fd, struct ww_bytes data)
{
    while (data.len > 0) {
        ssize_t n = write(fd, data.ptr, data.len);
        if (n < 0 && errno != EINTR)
            return ww_errno_err(errno);
        if (n > 0)
            data = ww_bytes_skip(data, (size_t)n);
    }
    return WW_OK;
}

/* The rename itself survives a power cut only once the directory is on disk. */
static ww_err sync_parent(const char *path)
{
    char dir[PATH_BYTES];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 1;
    memcpy(dir, slash ? path : ".", len);
    dir[len] = '\0';
    int fd = open(len ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ww_errno_err(errno);
    ww_err err = fsync(fd) == 0 ? WW_OK : ww_errno_err(errno);
    close(fd);
    return err;
}

static ww_err write_temp(int fd, struct ww_bytes data, unsigned mode)
{
    WW_TRY(write_all(fd, data));
    if (fchmod(fd, (mode_t)mode) != 0 || fsync(fd) != 0)
        return ww_errno_err(errno);
    return WW_OK;
}

ww_err ww_os_file_write(struct ww_env *env, const char *path, struct ww_bytes data, unsigned mode)
{
    WW_UNUSED(env);
    char temp[PATH_BYTES];
    int len = snprintf(temp, sizeof temp, "%s.XXXXXX", path);
    if (len < 0 || (size_t)len >= sizeof temp)
        return WW_EINVAL;
    int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return ww_errno_err(errno);
    ww_err err = write_temp(fd, data, mode);
    if (close(fd) != 0 && !err)
        err = ww_errno_err(errno);
    if (!err && rename(temp, path) != 0)
        err = ww_errno_err(errno);
    if (err) {
        unlink(temp);
        return err;
    }
    return sync_parent(path);
}

static ww_err make_one(const char *path, unsigned mode)
{
    struct stat st;
    if (mkdir(path, (mode_t)mode) == 0)
        return WW_OK;
    int errnum = errno;
    if (stat(path, &st) == 0)
        return S_ISDIR(st.st_mode) ? WW_OK : WW_EEXIST;
    return ww_errno_err(errnum);
}

ww_err ww_os_dir_make(struct ww_env *env, const char *path, unsigned mode)
{
    WW_UNUSED(env);
    char part[PATH_BYTES];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part)
        return WW_EINVAL;
    memcpy(part, path, len + 1);
    for (size_t i = 1; i < len; i++) {
        if (part[i] != '/' || part[i - 1] == '/')
            continue;
        part[i] = '\0';
        WW_TRY(make_one(part, mode | 0300)); /* its owner must be able to go on inside */
        part[i] = '/';
    }
    return make_one(part, mode);
}
