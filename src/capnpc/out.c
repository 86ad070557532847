#include "capnpc/out.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

void *need(void *ptr)
{
    if (!ptr) {
        fputs("capnpc-ww: out of memory\n", stderr);
        exit(1);
    }
    return ptr;
}

static void put_v(struct out *o, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    WW_ASSERT(n >= 0);
    if (o->capacity - o->len < (size_t)n + 1) {
        o->capacity = (o->capacity + (size_t)n + 1) * 2;
        o->text = need(ww_realloc(o->text, o->capacity));
    }
    vsnprintf(o->text + o->len, (size_t)n + 1, fmt, again);
    o->len += (size_t)n;
    va_end(again);
}

void put(struct out *o, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    put_v(o, fmt, args);
    va_end(args);
}

/* Every piece of memory made, newest first. */
static struct made {
    struct made *next;
    max_align_t body[];
} * all_made;

void *keep(size_t bytes)
{
    struct made *made = need(ww_calloc(1, sizeof *made + bytes));
    made->next = all_made;
    all_made = made;
    return made->body;
}

char *textf(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    WW_ASSERT(n >= 0);
    char *text = keep((size_t)n + 1);
    va_start(args, fmt);
    vsnprintf(text, (size_t)n + 1, fmt, args);
    va_end(args);
    return text;
}

void keep_free_all(void)
{
    while (all_made) {
        struct made *next = all_made->next;
        ww_free(all_made);
        all_made = next;
    }
}

void out_fini(struct out *o)
{
    ww_free(o->text);
    *o = (struct out){0};
}

static bool same_as_file(const struct out *o, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    char *old = need(ww_alloc(o->len + 1));
    size_t n = fread(old, 1, o->len + 1, f);
    bool same = n == o->len && memcmp(old, o->text, n) == 0;
    ww_free(old);
    fclose(f);
    return same;
}

static void make_parents(const char *path)
{
    char *dir = textf("%s", path);
    for (char *p = dir + 1; *p; p++) {
        if (*p == '/') {
            *p = 0;
            mkdir(dir, 0777); /* what fails here fails again in fopen, with a better message */
            *p = '/';
        }
    }
}

void out_write(const struct out *o, const char *path)
{
    if (same_as_file(o, path))
        return;
    make_parents(path);
    FILE *f = fopen(path, "wb");
    bool good = f && fwrite(o->text, 1, o->len, f) == o->len;
    if (f && fclose(f) != 0)
        good = false;
    if (!good) {
        perror(path);
        exit(1);
    }
}
