/* ww-convert — Cap'n Proto messages from one form into another, by a schema read at run time.
 *
 *   capnp compile -o- person.capnp > person.req
 *   ww-convert [--short] text:binary person.req Person < in > out
 *
 * Forms: binary, packed, flat, flat-packed, canonical, text, json. Any number of messages, one after the
 * other, but only one in the forms without a frame (flat, flat-packed, canonical). Between binary forms the
 * schema may be left out. A type is named as in the schema: Person, Outer.Inner, file.capnp:Person. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ww/capnp.h"
#include "ww/schema.h"

enum form { BINARY, PACKED, FLAT, FLAT_PACKED, CANONICAL, TEXT, JSON, FORMS };

static const char *const form_names[FORMS] = {
    "binary", "packed", "flat", "flat-packed", "canonical", "text", "json"};

static const struct ww_msg_limits limits = {
    .words = UINT64_C(1) << 28, .traversal = UINT64_C(1) << 32, .segments = 1 << 16, .depth = 64};

struct converter {
    enum form from, to;
    bool pretty;
    struct ww_type type;
    struct ww_msg in, out;
    struct ww_str text;
    uint8_t *packed; /* room for packing */
    size_t packed_bytes;
};

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "ww-convert: %s: %s\n", what, why);
    return 1;
}

static void *room(uint8_t **buffer, size_t *capacity, size_t bytes)
{
    if (bytes > *capacity) {
        uint8_t *grown = realloc(*buffer, bytes);
        if (!grown)
            exit(fail("memory", ww_err_text(WW_ENOMEM)));
        *buffer = grown;
        *capacity = bytes;
    }
    return *buffer;
}

static struct ww_bytes read_all(FILE *in)
{
    uint8_t *buffer = NULL;
    size_t capacity = 0, len = 0, n;
    do {
        room(&buffer, &capacity, len * 2 + 65536);
        n = fread(buffer + len, 1, capacity - len, in);
        len += n;
    } while (n > 0);
    struct ww_bytes all = {buffer, len};
    return all;
}

/* ---- out */

static int put(const void *bytes, size_t len)
{
    return fwrite(bytes, 1, len, stdout) == len ? 0 : fail("output", "cannot be written");
}

static int put_packed(struct converter *c, struct ww_bytes words)
{
    uint8_t *at = room(&c->packed, &c->packed_bytes, ww_pack_bound(words.len));
    return put(at, ww_pack(words, at));
}

/* The message in one segment. */
static struct ww_bytes flatten(struct converter *c, struct ww_msg *m)
{
    uint64_t words = 0;
    if (ww_msg_seg_count(m) == 1)
        return ww_msg_seg(m, 0);
    for (uint32_t i = 0; i < ww_msg_seg_count(m); i++)
        words += ww_msg_seg(m, i).len / 8;
    ww_msg_fini(&c->out);
    ww_msg_init(&c->out, NULL);
    ww_msg_hint(&c->out, (uint32_t)words + 1);
    ww_pb_set(ww_msg_root_builder(&c->out), ww_msg_root(m));
    return ww_msg_seg(&c->out, 0);
}

static int put_binary(struct ww_msg *m)
{
    uint32_t count = ww_msg_seg_count(m), word;
    uint32_t head = count - 1;
    int failed = put(&head, 4);
    for (uint32_t i = 0; i < count; i++) {
        word = (uint32_t)(ww_msg_seg(m, i).len / 8);
        failed |= put(&word, 4);
    }
    word = 0;
    if (count % 2 == 0)
        failed |= put(&word, 4);
    for (uint32_t i = 0; i < count; i++)
        failed |= put(ww_msg_seg(m, i).ptr, ww_msg_seg(m, i).len);
    return failed;
}

static int put_text(struct converter *c, struct ww_msg *m)
{
    struct ww_diag diag;
    struct ww_dyn_struct s;
    memset(&diag, 0, sizeof diag);
    ww_err err = ww_dyn_root(ww_msg_root(m), c->type, &s, &diag);
    c->text.len = 0;
    if (err == 0)
        err = c->to == TEXT ? ww_text_print(s, c->pretty, &c->text, &diag)
                            : ww_json_print(s, c->pretty, &c->text, &diag);
    if (err < 0)
        return fail("message", diag.text[0] ? diag.text : ww_err_text(err));
    return put(c->text.text, c->text.len) | put("\n", 1);
}

/* One message, built or opened. */
static int put_message(struct converter *c, struct ww_msg *m)
{
    struct ww_bytes words;
    int failed = 0;
    switch (c->to) {
    case TEXT:
    case JSON:
        return put_text(c, m);
    case CANONICAL:
        ww_msg_reset(&c->out);
        if (ww_msg_canonicalize(&c->out, ww_msg_root(m)) < 0)
            return fail("message", "it has no canonical form");
        words = ww_msg_seg(&c->out, 0);
        failed = put(words.ptr, words.len);
        break;
    case PACKED: {
        uint8_t *at = room(&c->packed, &c->packed_bytes, ww_msg_pack_bound(m));
        failed = put(at, ww_msg_pack(m, at));
        break;
    }
    case BINARY:
        failed = put_binary(m);
        break;
    default:
        words = flatten(c, m);
        failed = c->to == FLAT ? put(words.ptr, words.len) : put_packed(c, words);
    }
    if (ww_msg_err(m) < 0)
        return fail("message", ww_err_text(ww_msg_err(m)));
    return failed;
}

/* ---- in */

static int read_frames(struct converter *c, struct ww_bytes in)
{
    struct ww_frame_in frames;
    struct ww_bytes frame;
    ww_err err;
    int failed = 0;
    ww_frame_in_init(&frames, c->from == PACKED, &limits);
    while ((err = ww_frame_in_feed(&frames, &in, &frame)) == 0 && !failed) {
        err = ww_msg_open(&c->in, frame, &limits);
        if (err < 0)
            break;
        failed = put_message(c, &c->in);
    }
    if (!failed && err != WW_EAGAIN)
        failed = fail("input", ww_err_text(err));
    else if (!failed && !ww_frame_in_idle(&frames))
        failed = fail("input", ww_err_text(WW_ETRUNC));
    ww_frame_in_fini(&frames);
    return failed;
}

static int read_flat(struct converter *c, struct ww_bytes in)
{
    uint8_t *unpacked = NULL;
    uint64_t bytes = 0;
    ww_err err = 0;
    if (c->from == FLAT_PACKED) {
        err = ww_unpacked_bytes(in, limits.words * 8, &bytes);
        unpacked = err == 0 ? malloc(bytes ? (size_t)bytes : 1) : NULL;
        if (unpacked)
            err = ww_unpack(in, unpacked, (size_t)bytes);
        in.ptr = unpacked;
        in.len = unpacked ? (size_t)bytes : 0;
    }
    if (err == 0)
        err = ww_msg_open_segs(&c->in, &in, 1, &limits);
    int failed = err < 0 ? fail("input", ww_err_text(err)) : put_message(c, &c->in);
    ww_msg_reset(&c->in);
    free(unpacked);
    return failed;
}

static bool is_space(struct ww_bytes in)
{
    while (in.len && (*in.ptr == ' ' || (*in.ptr >= '\t' && *in.ptr <= '\r'))) {
        in.ptr++;
        in.len--;
    }
    return in.len == 0;
}

static int read_text(struct converter *c, struct ww_bytes in)
{
    struct ww_diag diag;
    size_t used = 0;
    for (size_t number = 1; !is_space(in); number++) {
        ww_msg_reset(&c->in);
        struct ww_pb root = ww_msg_root_builder(&c->in);
        ww_err err = c->from == TEXT ? ww_text_parse(in, c->type, root, &used, &diag)
                                     : ww_json_parse(in, c->type, root, &used, &diag);
        if (err < 0) {
            char what[40];
            snprintf(what, sizeof what, "message %zu", number);
            return fail(what, diag.text);
        }
        if (put_message(c, &c->in))
            return 1;
        in.ptr += used;
        in.len -= used;
    }
    return 0;
}

/* ---- schema and command line */

static struct ww_schema_set *load(const char *path)
{
    struct ww_schema_set *set = NULL;
    struct ww_diag diag;
    struct ww_msg request;
    FILE *in = fopen(path, "rb");
    if (!in) {
        fail(path, "cannot be opened");
        return NULL;
    }
    struct ww_bytes bytes = read_all(in);
    fclose(in);
    ww_msg_init(&request, NULL);
    memset(&diag, 0, sizeof diag);
    ww_err err = ww_msg_open(&request, bytes, &limits);
    if (err == 0)
        err = ww_schema_set_new(NULL, &set);
    if (err == 0)
        err = ww_schema_load_request(set, &request, &diag);
    if (err < 0) {
        fail(path, diag.text[0] ? diag.text : ww_err_text(err));
        ww_schema_set_free(set);
        set = NULL;
    }
    ww_msg_fini(&request);
    free((void *)bytes.ptr);
    return set;
}

static enum form form_of(const char *name, size_t len)
{
    int form = 0;
    while (form < FORMS && (strlen(form_names[form]) != len || memcmp(form_names[form], name, len) != 0))
        form++;
    return (enum form)form;
}

static int usage(void)
{
    fputs("usage: ww-convert [--short] FROM:TO [SCHEMA-REQUEST TYPE] < in > out\n"
          "forms: binary packed flat flat-packed canonical text json\n"
          "SCHEMA-REQUEST is what `capnp compile -o- FILE.capnp` writes.\n",
        stderr);
    return 2;
}

static int convert(struct converter *c)
{
    struct ww_bytes in = read_all(stdin);
    int failed;
    ww_msg_init(&c->in, NULL);
    ww_msg_init(&c->out, NULL);
    if (c->from == BINARY || c->from == PACKED)
        failed = read_frames(c, in);
    else if (c->from == TEXT || c->from == JSON)
        failed = read_text(c, in);
    else
        failed = read_flat(c, in);
    ww_msg_fini(&c->in);
    ww_msg_fini(&c->out);
    ww_str_fini(&c->text);
    free(c->packed);
    free((void *)in.ptr);
    if (fflush(stdout) != 0)
        failed = fail("output", "cannot be written");
    return failed;
}

int main(int argc, char **argv)
{
    struct converter c;
    struct ww_schema_set *set = NULL;
    memset(&c, 0, sizeof c);
    c.pretty = true;
    if (argc > 1 && strcmp(argv[1], "--short") == 0) {
        c.pretty = false;
        argc--;
        argv++;
    }
    const char *colon = argc > 1 ? strchr(argv[1], ':') : NULL;
    if (!colon || (argc != 2 && argc != 4))
        return usage();
    c.from = form_of(argv[1], (size_t)(colon - argv[1]));
    c.to = form_of(colon + 1, strlen(colon + 1));
    if (c.from == FORMS || c.to == FORMS || (argc == 2 && (c.from >= TEXT || c.to >= TEXT)))
        return usage();
    if (argc == 4) {
        set = load(argv[2]);
        if (!set)
            return 1;
        const struct ww_schema *s = ww_schema_by_name(set, argv[3]);
        if (!s || s->kind != WW_SCHEMA_STRUCT) {
            ww_schema_set_free(set);
            return fail(argv[3], s ? "no struct" : "no such type");
        }
        c.type = ww_type_of(s);
    }
    int failed = convert(&c);
    ww_schema_set_free(set);
    return failed;
}
