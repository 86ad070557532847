/* glue/file_map.c — a file mapped for reading: messages are opened in it, in place. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "ww/capnp.h"

static ww_err err_of(int number)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR:
        return WW_ENOTFOUND;
    case EACCES:
    case EPERM:
        return WW_EDENIED;
    case ENOMEM:
        return WW_ENOMEM;
    default:
        return WW_EIO;
    }
}

static ww_err map_fd(struct ww_file_map *f, int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_of(errno);
    if (!S_ISREG(st.st_mode))
        return WW_EINVAL;
    if (st.st_size == 0)
        return 0;
    if ((uint64_t)st.st_size > SIZE_MAX)
        return WW_ELIMIT;
    void *mem = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mem == MAP_FAILED)
        return err_of(errno);
    f->bytes = ww_bytes(mem, (size_t)st.st_size);
    return 0;
}

ww_err ww_file_map(struct ww_file_map *ret, const char *path)
{
    *ret = (struct ww_file_map){{NULL, 0}};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_of(errno);
    ww_err err = map_fd(ret, fd);
    close(fd);
    return err;
}

void ww_file_unmap(struct ww_file_map *f)
{
    if (f->bytes.ptr)
        munmap((void *)(uintptr_t)f->bytes.ptr, f->bytes.len);
    *f = (struct ww_file_map){{NULL, 0}};
}
