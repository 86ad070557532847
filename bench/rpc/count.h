/* bench/rpc/count.h — counts the allocations of a whole process, whatever library asks for them: the program
 * that includes this has its own malloc, calloc and realloc in front of glibc's. */
#ifndef WW_BENCH_RPC_COUNT_H
#define WW_BENCH_RPC_COUNT_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#ifdef __cplusplus
#define COUNT_NOTHROW noexcept
#else
#define COUNT_NOTHROW
#endif

#ifdef __cplusplus
extern "C" {
#endif

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static uint64_t count_allocs;

void *malloc(size_t size) COUNT_NOTHROW
{
    count_allocs++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) COUNT_NOTHROW
{
    count_allocs++;
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) COUNT_NOTHROW
{
    count_allocs++;
    return __libc_realloc(old, size);
}

static inline uint64_t count_clock_ns(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

#ifdef __cplusplus
}
#endif
#endif
