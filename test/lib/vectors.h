/* test/lib/vectors.h — reads the vector files under test/vectors; tests run in the source directory. */
#ifndef WW_TEST_LIB_VECTORS_H
#define WW_TEST_LIB_VECTORS_H

#include "test/lib/test.h"

#define VECTOR_FIELDS_MAX 6

/* One line `kind TAB field TAB field…`; absent fields are NULL. */
struct vector {
    size_t count;
    char *field[VECTOR_FIELDS_MAX];
};

static inline char *vector_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("%s is missing: run this test in the source directory", path);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    long size = ftell(f);
    assert_true(size > 0);
    rewind(f);
    char *text = malloc((size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)size, f), (size_t)size);
    text[size] = '\0';
    fclose(f);
    return text;
}

static inline void vector_split(char *line, struct vector *v)
{
    *v = (struct vector){0};
    for (char *at = strchr(line, '\t'); at && v->count < VECTOR_FIELDS_MAX; at = strchr(at, '\t')) {
        *at++ = '\0';
        v->field[v->count++] = at;
    }
}

/* Calls `fn` for each line of the kind and returns how many there were. */
static inline size_t vectors_each(const char *path, const char *kind, void (*fn)(const struct vector *v))
{
    char *text = vector_file(path), *next;
    size_t found = 0;
    for (char *line = text; line; line = next) {
        struct vector v;
        size_t len = strlen(kind);
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        if (strncmp(line, kind, len) != 0 || line[len] != '\t')
            continue;
        vector_split(line, &v);
        fn(&v);
        found++;
    }
    free(text);
    return found;
}

/* The last field of the line `kind TAB name TAB hex` as bytes; the test fails when there is none. At most 4
 * KiB. */
static inline struct ww_bytes vector_hex(const char *path, const char *kind, const char *name)
{
    static uint8_t ring[8][4096];
    static unsigned ring_at;
    char want[128], *text = vector_file(path);
    uint8_t *out = ring[ring_at++ % 8];
    snprintf(want, sizeof want, "\n%s\t%s\t", kind, name);
    char *at = strstr(text, want);
    if (!at)
        fail_msg("no vector %s %s in %s", kind, name, path);
    at += strlen(want);
    size_t digits = strspn(at, "0123456789abcdef");
    assert_true(digits / 2 <= sizeof ring[0]);
    assert_int_equal(ww_hex_decode(ww_bytes(at, digits), out, digits / 2), 0);
    free(text);
    return ww_bytes(out, digits / 2);
}

#define LIBP2P_VECTORS "test/vectors/libp2p/vectors.txt"

#endif
