/* capnpc-ww — makes readable C11 of Cap'n Proto schemas; started by `capnp compile
 * -o/path/to/capnpc-ww[:outdir]`. Reads a CodeGeneratorRequest from standard input, writes the files of
 * emit.h to the working directory. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capnpc/generate.h"

static const char usage[] =
    "usage: capnp compile -o/path/to/capnpc-ww[:OUTDIR] [--src-prefix=DIR] [-I DIR] FILE.capnp...\n"
    "\n"
    "Makes C11 of Cap'n Proto schemas. The capnp compiler starts this program and feeds it; by hand it only\n"
    "knows --help and --version. With capnpc-ww in $PATH, -oww does.\n"
    "\n"
    "FILE.capnp.h, FILE.capnp.c            types, accessors, constants, schemas; on ww/capnp.h\n"
    "FILE.capnp.rpc.h, FILE.capnp.rpc.c    calls and servers of interfaces; on ww/rpc.h\n"
    "\n"
    "Names and more are steered by annotations: using C = import \"/ww/c.capnp\"; $C.prefix(\"my_\");\n";

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "capnpc-ww: %s\n", what);
    exit(1);
}

static struct ww_bytes read_all(FILE *in)
{
    size_t len = 0, capacity = 64 << 10;
    uint8_t *mem = ww_alloc(capacity);
    for (;;) {
        if (!mem)
            die("out of memory");
        size_t n = fread(mem + len, 1, capacity - len, in);
        if (n == 0)
            break;
        len += n;
        if (len == capacity)
            mem = ww_realloc(mem, capacity *= 2);
    }
    if (ferror(in))
        die("standard input cannot be read");
    return ww_bytes(mem, len);
}

static bool same_as_file(const struct made_file *made)
{
    char old[4096];
    size_t at = 0, n = 0;
    FILE *f = fopen(made->path, "rb");
    if (!f)
        return false;
    do {
        at += n;
        n = fread(old, 1, sizeof old, f);
    } while (n > 0 && n <= made->text.len - at && memcmp(old, made->text.text + at, n) == 0);
    fclose(f);
    return n == 0 && at == made->text.len;
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

/* A file that has this content already is left alone, so that nothing is built anew because of it. */
static void write_file(const struct made_file *made)
{
    if (same_as_file(made))
        return;
    make_parents(made->path);
    FILE *f = fopen(made->path, "wb");
    bool good = f && fwrite(made->text.text, 1, made->text.len, f) == made->text.len;
    if (f && fclose(f) != 0)
        good = false;
    if (!good) {
        fputs("capnpc-ww: ", stderr);
        perror(made->path);
        if (f)
            remove(made->path); /* half a file that is newer than its schema would pass for made */
        exit(1);
    }
}

int main(int argc, char **argv)
{
    const struct made_file *files;
    if (argc > 1 && strcmp(argv[1], "--version") == 0)
        return puts("capnpc-ww " WW_VERSION) < 0;
    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return fputs(usage, stdout) < 0;
    if (argc > 1 || isatty(STDIN_FILENO)) {
        fputs(usage, stderr);
        return 1;
    }
    struct ww_bytes in = read_all(stdin);
    if (in.len == 0)
        die("nothing on standard input; start this through `capnp compile -o`, see --help");
    const char *message = generate(in, &files);
    if (message)
        die(message);
    for (; files; files = files->next)
        write_file(files);
    ww_free((void *)in.ptr);
    keep_free_all();
    return 0;
}
