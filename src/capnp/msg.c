/* capnp/msg.c — the life of a message: opening received segments, reuse, the capability table. */
#include "capnp/ptr.h"

const struct ww_msg_limits ww_msg_limits_default = {
    .words = UINT64_C(8) << 20, .traversal = 0, .segments = 512, .depth = WW_CAPNP_DEPTH_MAX};

#define HEADROOM 8 /* before the first segment, so that a one-segment frame is contiguous */
#define CAPS_MAX (UINT32_C(1) << 20)
#define WORDS_MAX (UINT32_C(1) << 28) /* every offset and every far pointer fits */
#define HINT_MAX (UINT32_C(64) << 10) /* words that a reused message may keep */

void ww_msg_init(struct ww_msg *m, const struct ww_cap_ops *cap_ops)
{
    memset(m, 0, sizeof *m);
    m->cap_ops = cap_ops;
    m->max_words = ww_msg_limits_default.words;
    m->depth = WW_CAPNP_DEPTH_MAX;
}

void ww_msg_init_mem(struct ww_msg *m, const struct ww_cap_ops *cap_ops, void *mem, size_t bytes)
{
    WW_ASSERT(bytes >= HEADROOM + 16);
    ww_msg_init(m, cap_ops);
    m->mem = mem;
    m->mem_bytes = bytes;
    m->mem_given = true;
}

void ww_msg_hint(struct ww_msg *m, uint32_t words)
{
    m->hint = words < WORDS_MAX ? words : WORDS_MAX;
}

void ww_msg_build_limit(struct ww_msg *m, uint64_t words)
{
    words = words > 0 ? words : 1; /* the root pointer */
    m->max_words = words < WORDS_MAX ? words : WORDS_MAX;
}

static void drop_caps(struct ww_msg *m)
{
    uint32_t count = m->cap_count;
    m->cap_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct ww_cap *cap = m->caps[i];
        if (cap)
            m->cap_ops->unref(cap);
    }
}

static void drop_segs(struct ww_msg *m)
{
    if (m->more_owned) {
        for (uint32_t i = 1; i < m->seg_count; i++)
            ww_free(m->more[i - 1]);
        m->more_owned = false;
    }
    m->seg_count = 0;
}

static uint64_t built_words(const struct ww_msg *m)
{
    uint64_t words = 0;
    for (uint32_t i = 0; i < m->seg_count; i++)
        words += ww_msg_seg(m, i).len / 8;
    return words;
}

/* A first segment that was too small: the next time it will not be. */
static uint32_t learned_hint(const struct ww_msg *m)
{
    uint64_t built = m->seg_count > 1 && !m->reading ? built_words(m) : 0;
    return built <= HINT_MAX && m->hint < built ? (uint32_t)built : m->hint;
}

void ww_msg_reset(struct ww_msg *m)
{
    m->hint = learned_hint(m);
    drop_caps(m);
    drop_segs(m);
    m->err = 0;
    m->reading = false;
    m->budget = 0;
}

void ww_msg_fini(struct ww_msg *m)
{
    drop_caps(m);
    drop_segs(m);
    ww_free(m->more);
    ww_free(m->read_segs);
    ww_free(m->caps);
    if (!m->mem_given)
        ww_free(m->mem);
    ww_msg_init(m, m->cap_ops);
}

/* ---- capabilities */

static bool caps_reserve(struct ww_msg *m, uint32_t count)
{
    if (count <= m->cap_capacity)
        return true;
    if (count > CAPS_MAX)
        return ww_msg_fail(m, WW_ELIMIT), false;
    uint32_t capacity = m->cap_capacity ? m->cap_capacity * 2 : 4;
    while (capacity < count)
        capacity *= 2;
    struct ww_cap **caps = ww_realloc(m->caps, capacity * sizeof(struct ww_cap *));
    if (!caps)
        return ww_msg_fail(m, WW_ENOMEM), false;
    m->caps = caps;
    m->cap_capacity = capacity;
    return true;
}

uint32_t ww_msg_cap_add(struct ww_msg *m, struct ww_cap *cap)
{
    if (cap && !m->cap_ops)
        return ww_msg_fail(m, WW_ESTATE), UINT32_MAX;
    if (!caps_reserve(m, m->cap_count + 1))
        return UINT32_MAX;
    if (cap)
        m->cap_ops->ref(cap);
    m->caps[m->cap_count] = cap;
    return m->cap_count++;
}

struct ww_cap **ww_msg_cap_slots(struct ww_msg *m, uint32_t count)
{
    drop_caps(m);
    if (!caps_reserve(m, count ? count : 1))
        return NULL;
    memset(m->caps, 0, count * sizeof(struct ww_cap *));
    m->cap_count = count;
    return m->caps;
}

/* ---- opening */

static void set_seg(struct ww_msg *m, struct ww_seg *seg, uint32_t id, const uint8_t *data, uint32_t words)
{
    seg->msg = m;
    seg->data = (uint8_t *)data; /* a message open for reading has no builders */
    seg->used = seg->capacity = words;
    seg->id = id;
}

/* Room for the table of segments 1 and up of a message to read. */
static ww_err read_table(struct ww_msg *m, uint32_t seg_count)
{
    if (seg_count <= 1)
        return 0;
    uint32_t more = seg_count - 1;
    if (more > m->more_capacity) {
        struct ww_seg **table = ww_realloc(m->more, more * sizeof(struct ww_seg *));
        if (!table)
            return WW_ENOMEM;
        m->more = table;
        m->more_capacity = more;
    }
    struct ww_seg *segs = ww_realloc(m->read_segs, more * sizeof(struct ww_seg));
    if (!segs)
        return WW_ENOMEM;
    m->read_segs = segs;
    for (uint32_t i = 0; i < more; i++)
        m->more[i] = &segs[i];
    return 0;
}

static void start_reading(
    struct ww_msg *m, uint32_t seg_count, uint64_t words, const struct ww_msg_limits *lim)
{
    uint64_t budget = lim->traversal;
    if (budget == 0) {
        budget = words > 8192 ? words * 8 : 65536;
        if (budget > lim->words)
            budget = lim->words > words ? lim->words : words;
    }
    m->seg_count = seg_count;
    m->reading = true;
    m->budget = budget;
    m->depth = lim->depth < WW_CAPNP_DEPTH_MAX ? lim->depth : WW_CAPNP_DEPTH_MAX;
}

static struct ww_seg *seg_slot(struct ww_msg *m, uint32_t id)
{
    return id == 0 ? &m->seg0 : m->more[id - 1];
}

ww_err ww_msg_open_frame(struct ww_msg *m, struct ww_bytes frame, const struct ww_msg_limits *lim)
{
    uint64_t bytes;
    ww_err err = ww_frame_check(frame, lim, &bytes);
    if (err < 0)
        return err == WW_EAGAIN ? WW_ETRUNC : err;
    uint32_t count = ww_load32_(frame.ptr) + 1;
    WW_TRY(read_table(m, count));
    size_t at = ((size_t)count / 2 + 1) * 8;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t words = ww_load32_(frame.ptr + 4 + (size_t)i * 4);
        set_seg(m, seg_slot(m, i), i, frame.ptr + at, words);
        at += (size_t)words * 8;
    }
    start_reading(m, count, bytes / 8, lim);
    return 0;
}

ww_err ww_msg_open(struct ww_msg *m, struct ww_bytes frame, const struct ww_msg_limits *lim)
{
    ww_msg_reset(m);
    return ww_msg_open_frame(m, frame, lim ? lim : &ww_msg_limits_default);
}

ww_err ww_msg_open_next(struct ww_msg *m, struct ww_bytes *io_frames, const struct ww_msg_limits *lim)
{
    WW_TRY(ww_msg_open(m, *io_frames, lim));
    size_t bytes = ww_frame_table_bytes(m);
    for (uint32_t i = 0; i < m->seg_count; i++)
        bytes += ww_msg_seg(m, i).len;
    *io_frames = ww_bytes_skip(*io_frames, bytes);
    return 0;
}

ww_err ww_msg_mem_reserve(struct ww_msg *m, size_t bytes)
{
    if (m->mem_bytes >= bytes)
        return 0;
    uint8_t *mem = ww_alloc(bytes);
    if (!mem)
        return WW_ENOMEM;
    if (!m->mem_given)
        ww_free(m->mem);
    m->mem = mem;
    m->mem_bytes = bytes;
    m->mem_given = false;
    return 0;
}

ww_err ww_msg_open_copy(struct ww_msg *m, struct ww_bytes frame, const struct ww_msg_limits *lim)
{
    uint64_t bytes;
    lim = lim ? lim : &ww_msg_limits_default;
    ww_msg_reset(m);
    ww_err err = ww_frame_check(frame, lim, &bytes);
    if (err < 0)
        return err == WW_EAGAIN ? WW_ETRUNC : err;
    WW_TRY(ww_msg_mem_reserve(m, (size_t)bytes));
    memcpy(m->mem, frame.ptr, (size_t)bytes);
    return ww_msg_open_frame(m, (struct ww_bytes){m->mem, (size_t)bytes}, lim);
}

ww_err ww_msg_open_take(struct ww_msg *m, uint8_t *mem, size_t mem_bytes, const struct ww_msg_limits *lim)
{
    ww_msg_reset(m);
    if (!m->mem_given)
        ww_free(m->mem);
    m->mem = mem;
    m->mem_bytes = mem_bytes;
    m->mem_given = false;
    return ww_msg_open_frame(m, (struct ww_bytes){mem, mem_bytes}, lim ? lim : &ww_msg_limits_default);
}

void ww_msg_move(struct ww_msg *to, struct ww_msg *from)
{
    WW_ASSERT(!from->mem_given && to->seg_count == 0 && !to->mem);
    *to = *from;
    for (uint32_t i = 0; i < to->seg_count; i++)
        seg_slot(to, i)->msg = to;
    uint32_t hint = learned_hint(from);
    ww_msg_init(from, to->cap_ops);
    from->hint = hint;
}

ww_err ww_msg_open_segs(
    struct ww_msg *m, const struct ww_bytes *segs, size_t seg_count, const struct ww_msg_limits *lim)
{
    uint64_t words = 0;
    lim = lim ? lim : &ww_msg_limits_default;
    ww_msg_reset(m);
    if (seg_count == 0 || segs[0].len == 0)
        return WW_EMALFORMED;
    if (seg_count > lim->segments)
        return WW_ELIMIT;
    for (size_t i = 0; i < seg_count; i++) {
        if (segs[i].len % 8 != 0)
            return WW_EMALFORMED;
        words += segs[i].len / 8;
        if (words > lim->words || words > UINT32_MAX)
            return WW_ELIMIT;
    }
    WW_TRY(read_table(m, (uint32_t)seg_count));
    for (size_t i = 0; i < seg_count; i++)
        set_seg(m, seg_slot(m, (uint32_t)i), (uint32_t)i, segs[i].ptr, (uint32_t)(segs[i].len / 8));
    start_reading(m, (uint32_t)seg_count, words, lim);
    return 0;
}

struct ww_pr ww_msg_root(struct ww_msg *m)
{
    struct ww_pr p = {&m->seg0, m->seg_count ? m->seg0.data : ww_capnp_null_, m->depth};
    return p;
}

struct ww_bytes ww_msg_seg(const struct ww_msg *m, uint32_t id)
{
    struct ww_bytes none = {NULL, 0};
    if (id >= m->seg_count)
        return none;
    const struct ww_seg *seg = id == 0 ? &m->seg0 : m->more[id - 1];
    return (struct ww_bytes){seg->data, (size_t)seg->used * 8};
}

/* ---- segments of a builder */

/* Makes the first segment, with the root pointer. */
static bool first_seg(struct ww_msg *m)
{
    uint32_t words = m->hint < 2 ? 128 : m->hint;
    if (m->mem_bytes < HEADROOM + 16 || (!m->mem_given && m->mem_bytes < HEADROOM + (size_t)words * 8)) {
        if (ww_msg_mem_reserve(m, HEADROOM + (size_t)words * 8) < 0)
            return ww_msg_fail(m, WW_ENOMEM), false;
    }
    size_t room = (m->mem_bytes - HEADROOM) / 8;
    m->seg0 = (struct ww_seg){
        m, m->mem + HEADROOM, 1, room < m->max_words ? (uint32_t)room : (uint32_t)m->max_words, 0, 1};
    ww_store64_(m->seg0.data, 0);
    m->seg_count = 1;
    m->budget = UINT64_MAX;
    m->depth = WW_CAPNP_DEPTH_MAX;
    return true;
}

struct ww_pb ww_msg_root_builder(struct ww_msg *m)
{
    struct ww_pb none = {&m->seg0, NULL};
    if (m->reading)
        return ww_msg_fail(m, WW_ESTATE), none;
    if (m->seg_count == 0 && !first_seg(m))
        return none;
    struct ww_pb p = {&m->seg0, m->seg0.data};
    return p;
}

/* Grows by doubling, up to 8 MiB a segment; a larger object gets its own size. */
static struct ww_seg *add_seg(struct ww_msg *m, uint64_t words)
{
    uint64_t built = built_words(m), capacity = built < (1u << 20) ? built : 1u << 20;
    if (built > m->max_words || words > m->max_words - built)
        return ww_msg_fail(m, WW_ELIMIT), NULL;
    if (capacity < words)
        capacity = words;
    if (capacity > m->max_words - built)
        capacity = m->max_words - built;
    if (m->seg_count - 1 >= m->more_capacity) {
        uint32_t n = m->more_capacity ? m->more_capacity * 2 : 4;
        struct ww_seg **more = ww_realloc(m->more, n * sizeof(struct ww_seg *));
        if (!more)
            return ww_msg_fail(m, WW_ENOMEM), NULL;
        m->more = more;
        m->more_capacity = n;
    }
    struct ww_seg *seg = ww_alloc(sizeof *seg + (size_t)capacity * 8);
    if (!seg)
        return ww_msg_fail(m, WW_ENOMEM), NULL;
    *seg = (struct ww_seg){m, (uint8_t *)(seg + 1), 0, (uint32_t)capacity, m->seg_count, 0};
    m->more[m->seg_count - 1] = seg;
    m->more_owned = true;
    m->seg_count++;
    return seg;
}

uint8_t *ww_seg_alloc_slow(struct ww_seg **io_seg, uint64_t words, uint64_t clear)
{
    struct ww_msg *m = (*io_seg)->msg;
    struct ww_seg *seg = *io_seg;
    if (words > seg->capacity - seg->used)
        seg = ww_msg_seg_at(m, m->seg_count - 1);
    if (words > seg->capacity - seg->used)
        seg = add_seg(m, words);
    if (!seg)
        return NULL;
    *io_seg = seg;
    return ww_seg_take(seg, words, clear);
}
