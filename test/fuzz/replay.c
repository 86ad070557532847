/* test/fuzz/replay.c — runs a fuzz target over stored inputs with the ordinary compiler, as a plain test.
 *
 *   fuzz-MODULE-NAME-replay FILE|DIRECTORY...
 *
 * Each input runs whole, then shortened and with single bytes changed (a fixed, counted set: the same inputs
 * in every run). Inputs live in heap blocks of their exact size, so that sanitizers and valgrind see each
 * byte read beyond the end. No input at all is a failure: a lost corpus must not look like a passed test.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { VARIANTS_MAX = 256 }; /* of each sort; targets with costly steps (handshakes) stay within a second */

static size_t runs;

static void run(const uint8_t *data, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact)
        abort();
    if (size)
        memcpy(exact, data, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    runs++;
}

static void run_variants(uint8_t *data, size_t size)
{
    static const uint8_t flips[] = {0x01, 0x80, 0xff};
    size_t step = size / VARIANTS_MAX + 1;
    for (size_t n = 0; n < size; n += step)
        run(data, n);
    for (size_t i = 0; i < size; i += step) {
        uint8_t flip = flips[(i / step) % sizeof flips];
        data[i] ^= flip;
        run(data, size);
        data[i] ^= flip;
    }
}

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return 1;
    }
    uint8_t *data = NULL;
    size_t size = 0, capacity = 0, n;
    do {
        if (size == capacity) {
            capacity = capacity ? capacity * 2 : 4096;
            data = realloc(data, capacity);
            if (!data)
                abort();
        }
        n = fread(data + size, 1, capacity - size, f);
        size += n;
    } while (n > 0);
    int failed = ferror(f);
    fclose(f);
    if (!failed) {
        run(data, size);
        run_variants(data, size);
    }
    free(data);
    return failed ? 1 : 0;
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int run_dir(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, visible, alphasort), failed = 0;
    if (count < 0) {
        perror(path);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        char file[4096];
        int len = snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        failed |= len < 0 || (size_t)len >= sizeof file || run_file(file);
        free(entries[i]);
    }
    free(entries);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) != 0) {
            perror(argv[i]);
            failed = 1;
        } else {
            failed |= S_ISDIR(st.st_mode) ? run_dir(argv[i]) : run_file(argv[i]);
        }
    }
    if (runs == 0) {
        fprintf(stderr, "%s: no input was run\n", argv[0]);
        failed = 1;
    }
    printf("%zu inputs\n", runs);
    return failed;
}
