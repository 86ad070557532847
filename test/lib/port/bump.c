/* test/lib/port/bump.c — an allocator that never gives anything back, in place of the C library's, so that a
 * guest's size is that of our code. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static size_t used;

void *malloc(size_t size)
{
    static _Alignas(16) uint8_t memory[1 << 20];
    size_t whole = (size + 31) & ~(size_t)15; /* with the size in front */
    if (size > sizeof memory || whole > sizeof memory - used)
        return NULL;
    uint8_t *at = memory + used + 16;
    memcpy(at - 16, &size, sizeof size);
    used += whole;
    return at;
}

void free(void *ptr)
{
    (void)ptr;
}

void *calloc(size_t count, size_t size)
{
    return size && count > SIZE_MAX / size ? NULL : malloc(count * size); /* fresh memory is zero */
}

void *realloc(void *old, size_t size)
{
    size_t old_size = 0;
    void *p = malloc(size);
    if (old)
        memcpy(&old_size, (uint8_t *)old - 16, sizeof old_size);
    if (p && old)
        memcpy(p, old, old_size < size ? old_size : size);
    return p;
}
