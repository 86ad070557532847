#include "capnpc/out.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

jmp_buf out_given_up;
const char *out_message;

_Noreturn void give_up(const char *message)
{
    out_message = message;
    longjmp(out_given_up, 1);
}

/* Every piece of memory made, newest first. */
static struct made {
    struct made *next;
    max_align_t body[];
} * all_made;

void *keep(size_t bytes)
{
    struct made *made = bytes < SIZE_MAX / 2 ? ww_calloc(1, sizeof *made + bytes) : NULL;
    if (!made)
        give_up("out of memory");
    made->next = all_made;
    all_made = made;
    return made->body;
}

void *keep_grow(void *list, size_t count, size_t elem)
{
    if ((count & (count - 1)) != 0)
        return list; /* sizes are powers of two */
    void *larger = keep((count ? count * 2 : 1) * elem);
    if (count)
        memcpy(larger, list, count * elem);
    return larger;
}

void keep_free_all(void)
{
    while (all_made) {
        struct made *next = all_made->next;
        ww_free(all_made);
        all_made = next;
    }
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

void put(struct out *o, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    WW_ASSERT(n >= 0);
    if (o->capacity - o->len < (size_t)n + 1) {
        size_t capacity = (o->capacity + (size_t)n + 1) * 2;
        char *text = keep(capacity);
        if (o->len)
            memcpy(text, o->text, o->len);
        o->text = text;
        o->capacity = capacity;
    }
    va_start(args, fmt);
    vsnprintf(o->text + o->len, (size_t)n + 1, fmt, args);
    va_end(args);
    o->len += (size_t)n;
}
