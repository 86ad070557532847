#include "cluster/boot.h"

#include "base/map.h"
#include "p2p/multiaddr.h"

/* ---- targets ---- */

void ww_boot_target_default(struct ww_boot_target *ret_target)
{
    *ret_target = (struct ww_boot_target){
        .way = WW_BOOT_MULTICAST, .addr = {.family = 4, .ip = {228, 8, 8, 8}, .port = WW_BOOT_PORT}};
}

static bool is_group(const struct ww_netaddr *a)
{
    return a->family == 4 ? (a->ip[0] & 0xf0) == 0xe0 : a->ip[0] == 0xff;
}

static ww_err target_peer(struct ww_boot_target *t, struct ww_bytes transport, struct ww_diag *diag)
{
    if (transport.len == 0)
        return ww_diag_set(diag, WW_EINVAL, "a peer needs an address before /p2p");
    if (transport.len > sizeof t->maddr)
        return ww_diag_set(diag, WW_ELIMIT, "the address is too long");
    t->way = WW_BOOT_PEER;
    memcpy(t->maddr, transport.ptr, transport.len);
    t->maddr_len = (uint16_t)transport.len;
    return 0;
}

static ww_err target_group(struct ww_boot_target *t, struct ww_bytes ifname, struct ww_diag *diag)
{
    if (!is_group(&t->addr))
        return ww_diag_set(diag, WW_EINVAL, "not a multicast address");
    if (ifname.len >= sizeof t->ifname)
        return ww_diag_set(diag, WW_EINVAL, "the interface's name is too long");
    t->way = WW_BOOT_MULTICAST;
    if (ifname.len)
        memcpy(t->ifname, ifname.ptr, ifname.len);
    return 0;
}

ww_err ww_boot_target_parse(struct ww_bytes maddr, struct ww_boot_target *ret_target, struct ww_diag *diag)
{
    struct ww_boot_target t = {.way = WW_BOOT_HOST};
    struct ww_multiaddr_part part;
    struct ww_bytes rest;
    uint64_t code;
    ww_err err = ww_multiaddr_check(maddr);
    if (err < 0)
        return ww_diag_set(diag, err, "not a multiaddr");
    if (ww_multiaddr_peer(maddr, &t.peer, &rest) == 0) {
        WW_TRY(target_peer(&t, rest, diag));
        *ret_target = t;
        return 0;
    }
    if (ww_multiaddr_netaddr(maddr, &t.addr, &code, &rest) < 0 || code != WW_MA_UDP)
        return ww_diag_set(diag, WW_EUNSUPPORTED, "unknown boot protocol");
    while ((err = ww_multiaddr_next(&rest, &part)) == 1) {
        if (part.code == WW_MA_MULTICAST && t.way == WW_BOOT_HOST) {
            WW_TRY(target_group(&t, part.value, diag));
        } else if (part.code == WW_MA_SURVEY && t.way == WW_BOOT_MULTICAST && !t.gradual) {
            t.gradual = true;
        } else if (part.code == WW_MA_CIDR && t.way == WW_BOOT_HOST && part.value.len == 1) {
            t.way = WW_BOOT_SUBNET;
            t.prefix_bits = part.value.ptr[0];
            if (t.prefix_bits > (t.addr.family == 4 ? 32 : 128))
                return ww_diag_set(diag, WW_EINVAL, "CIDR overflow");
        } else {
            return ww_diag_set(diag, WW_EUNSUPPORTED, "unknown boot protocol");
        }
    }
    if (err < 0)
        return ww_diag_set(diag, err, "not a multiaddr");
    if (t.way == WW_BOOT_HOST && is_group(&t.addr))
        return ww_diag_set(diag, WW_EINVAL, "a multicast address needs /multicast/INTERFACE");
    *ret_target = t;
    return 0;
}

/* ---- subnets ---- */

#define CRAWL_HOSTS_MAX (UINT64_C(1) << 24)

/* Host bits beyond 63 stay as they are in the base. */
void ww_boot_crawl_init(
    struct ww_boot_crawl *c, const struct ww_netaddr *net, uint8_t prefix_bits, uint64_t random)
{
    unsigned width = net->family == 4 ? 32 : 128, bits = width - prefix_bits;
    *c = (struct ww_boot_crawl){.base = *net};
    for (unsigned i = prefix_bits; i < width; i++)
        c->base.ip[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
    if (bits > 63)
        bits = 63;
    c->hosts = UINT64_C(1) << bits;
    c->end = bits == 0 ? 0 : (c->hosts < CRAWL_HOSTS_MAX ? c->hosts : CRAWL_HOSTS_MAX);
    c->mask = random & (c->hosts - 1);
}

bool ww_boot_crawl_next(struct ww_boot_crawl *c, struct ww_netaddr *ret_addr)
{
    while (c->at < c->end) {
        uint64_t host = c->at++ ^ c->mask;
        if (host == 0 || host == c->hosts - 1)
            continue;
        *ret_addr = c->base;
        uint8_t *last = ret_addr->ip + (c->base.family == 4 ? 3 : 15);
        for (; host; host >>= 8)
            *last-- |= (uint8_t)host;
        return true;
    }
    return false;
}

/* ---- rates: a token bucket as one time stamp (virtual scheduling, ITU-T I.371) ---- */

struct bucket {
    uint64_t full_ns; /* when the bucket is full again */
};

struct rate {
    uint64_t gap_ns;
    uint64_t burst;
};

static const struct rate send_rate = {WW_NS_PER_S / 32, 8};   /* what peers expect of each other */
static const struct rate answer_rate = {WW_NS_PER_S / 32, 8}; /* all answers together */
static const struct rate source_rate = {
    WW_NS_PER_S / 8, 8}; /* answers to one address: several nodes may share it */
static const struct rate verify_rate = {
    WW_NS_PER_S / 1000, 512}; /* signatures checked: about 6 % of a core */

/* When the next token can be had. */
static uint64_t bucket_ready(const struct bucket *b, const struct rate *r)
{
    uint64_t slack = (r->burst - 1) * r->gap_ns;
    return b->full_ns > slack ? b->full_ns - slack : 0;
}

static bool bucket_take(struct bucket *b, const struct rate *r, uint64_t now_ns)
{
    if (bucket_ready(b, r) > now_ns)
        return false;
    b->full_ns = (b->full_ns > now_ns ? b->full_ns : now_ns) + r->gap_ns;
    return true;
}

/* ---- the core ---- */

#define SOURCES 64     /* remembered for the rate; a collision shares a bucket */
#define PEERS 256      /* remembered for "heard lately" and "reported lately" */
#define ANSWERS_MAX 16 /* waiting */
#define HEARD_FOR_NS (30 * WW_NS_PER_S)
#define REPORT_GAP_NS (2 * WW_NS_PER_S)
#define ENOUGH 8 /* answers that a question needs; also the size of a group that answers at once */
#define ANSWER_WAIT_MAX_NS (500 * WW_NS_PER_MS)
#define ASK_GAP_MIN_NS (250 * WW_NS_PER_MS)
#define ASK_GAP_MAX_NS (5 * WW_NS_PER_S)
#define CRAWL_GAP_NS (10 * WW_NS_PER_S)
#define CRAWL_GAP_MAX_NS (300 * WW_NS_PER_S)
#define PEER_GAP_NS (5 * WW_NS_PER_S)
#define PORT_FIRST 1024
#define DATAGRAM_ROOM 32768 /* a datagram, and those that were too long */

struct search {
    uint64_t next_ns; /* WW_NEVER: done */
    uint32_t round;
    bool crawling;
    uint32_t port;
    struct ww_boot_crawl crawl;
};

struct answer {
    uint64_t due_ns;
    struct ww_netaddr to;
    bool group;
    uint64_t heard; /* answers of others when the question came */
};

struct known_peer {
    uint64_t hash, heard_ns, reported_ns;
};

struct ww_boot_core {
    const struct ww_keypair *signer;
    struct ww_peer_id self;
    uint8_t ns[WW_BOOT_NS_MAX];
    size_t ns_len;
    struct ww_trace *trace;
    struct ww_prng prng;
    uint64_t seed[2];
    struct ww_boot_target targets[WW_BOOT_TARGETS_MAX];
    struct search searches[WW_BOOT_TARGETS_MAX];
    size_t target_count, turn;
    bool searching;
    struct ww_buf addrs; /* our addresses, one after the other */
    struct ww_bytes addr_views[WW_BOOT_ADDRS_MAX];
    size_t addr_count;
    struct ww_buf response, question; /* sealed; the question of `question_kind` and `question_distance` */
    bool question_valid;
    enum ww_boot_kind question_kind;
    uint8_t question_distance;
    struct bucket send, answered, verified, sources[SOURCES];
    struct known_peer peers[PEERS];
    struct answer answers[ANSWERS_MAX];
    size_t answer_count;
    uint64_t heard; /* answers of others, ever */
    struct ww_msg msg;
    struct ww_boot_packet packet; /* what was found, when `found` */
    bool found;
    struct ww_bytes peer_view;
};

ww_err ww_boot_core_new(const struct ww_boot_core_conf *conf, struct ww_boot_core **ret_core)
{
    if (conf->ns.len == 0 || conf->ns.len > WW_BOOT_NS_MAX)
        return WW_EINVAL;
    if (conf->target_count > WW_BOOT_TARGETS_MAX)
        return WW_ELIMIT;
    struct ww_boot_core *c = WW_NEW(struct ww_boot_core);
    if (!c)
        return WW_ENOMEM;
    c->signer = conf->signer;
    ww_peer_id_from_key(&conf->signer->pub, &c->self);
    memcpy(c->ns, conf->ns.ptr, conf->ns.len);
    c->ns_len = conf->ns.len;
    c->trace = conf->trace;
    ww_prng_init(&c->prng, conf->seed);
    c->seed[0] = ww_prng_u64(&c->prng);
    c->seed[1] = ww_prng_u64(&c->prng);
    c->target_count = conf->target_count;
    for (size_t i = 0; i < conf->target_count; i++)
        c->targets[i] = conf->targets[i];
    ww_buf_init(&c->addrs, WW_BOOT_ADDRS_MAX * WW_MULTIADDR_MAX_BYTES);
    ww_buf_init(&c->response, DATAGRAM_ROOM);
    ww_buf_init(&c->question, DATAGRAM_ROOM);
    ww_msg_init(&c->msg, NULL);
    *ret_core = c;
    return 0;
}

void ww_boot_core_free(struct ww_boot_core *c)
{
    if (!c)
        return;
    ww_buf_fini(&c->addrs);
    ww_buf_fini(&c->response);
    ww_buf_fini(&c->question);
    ww_msg_fini(&c->msg);
    ww_free(c);
}

static struct ww_bytes core_ns(const struct ww_boot_core *c)
{
    return ww_bytes(c->ns, c->ns_len);
}

ww_err ww_boot_core_set_addrs(struct ww_boot_core *c, const struct ww_bytes *addrs, size_t count)
{
    ww_buf_clear(&c->response);
    ww_buf_clear(&c->addrs);
    c->addr_count = 0;
    if (count > WW_BOOT_ADDRS_MAX)
        count = WW_BOOT_ADDRS_MAX;
    for (size_t i = 0; i < count; i++)
        WW_TRY(ww_buf_append(&c->addrs, addrs[i]));
    const uint8_t *at = ww_buf_data(&c->addrs);
    for (size_t i = 0; i < count; i++) {
        c->addr_views[i] = ww_bytes(at, addrs[i].len);
        at += addrs[i].len;
    }
    c->addr_count = count;
    return 0;
}

void ww_boot_core_search(struct ww_boot_core *c, uint64_t now_ns, bool on)
{
    c->searching = on;
    c->found = false;
    for (size_t i = 0; on && i < c->target_count; i++)
        c->searches[i] = (struct search){.next_ns = now_ns};
    for (size_t i = 0; on && i < PEERS; i++)
        c->peers[i].reported_ns = 0;
}

/* ---- packets ---- */

static struct ww_trace_val trace_addr(const struct ww_netaddr *a, struct ww_buf *mem, char *text, size_t size)
{
    ww_buf_init(mem, 64);
    bool ok = ww_multiaddr_put_netaddr(mem, a, WW_MA_UDP) == 0;
    struct ww_trace_val v = ww_tv_str(ok ? ww_multiaddr_text(ww_buf_view(mem), text, size) : "?");
    ww_buf_fini(mem);
    return v;
}

static const char *const kind_names[] = {"request", "survey", "response"};

static void trace_sent(
    struct ww_boot_core *c, enum ww_boot_kind kind, const struct ww_netaddr *to, size_t bytes)
{
    struct ww_buf mem;
    char text[128];
    if (c->trace)
        WW_TRACE(c->trace, BOOT_SENT, ww_tv_str(kind_names[kind]), trace_addr(to, &mem, text, sizeof text),
            ww_tv_u64(bytes));
}

static void trace_received(
    struct ww_boot_core *c, const struct ww_netaddr *from, const struct ww_boot_packet *p)
{
    struct ww_buf mem;
    char text[128], id[WW_PEER_ID_TEXT_MAX];
    if (c->trace)
        WW_TRACE(c->trace, BOOT_RECEIVED, ww_tv_str(kind_names[p->kind]),
            trace_addr(from, &mem, text, sizeof text), ww_tv_str(ww_peer_id_format(&p->peer, id)));
}

static void trace_dropped(struct ww_boot_core *c, const struct ww_netaddr *from, ww_err err)
{
    struct ww_buf mem;
    char text[128];
    if (c->trace)
        WW_TRACE(c->trace, BOOT_DROPPED, trace_addr(from, &mem, text, sizeof text), ww_tv_err(err));
}

/* Our sealed answer, made once for a set of addresses. */
static ww_err response_view(struct ww_boot_core *c, struct ww_bytes *ret_data)
{
    if (ww_buf_len(&c->response) == 0) {
        struct ww_boot_packet p = {.kind = WW_BOOT_RESPONSE, .ns = core_ns(c), .addr_count = c->addr_count};
        memcpy(p.addrs, c->addr_views, sizeof p.addrs);
        WW_TRY(ww_boot_packet_seal(c->signer, &p, &c->response));
    }
    *ret_data = ww_buf_view(&c->response);
    return 0;
}

static ww_err question_view(
    struct ww_boot_core *c, enum ww_boot_kind kind, uint8_t distance, struct ww_bytes *ret_data)
{
    if (!c->question_valid || c->question_kind != kind || c->question_distance != distance) {
        struct ww_boot_packet p = {.kind = kind, .ns = core_ns(c), .distance = distance};
        ww_buf_clear(&c->question);
        c->question_valid = false;
        WW_TRY(ww_boot_packet_seal(c->signer, &p, &c->question));
        c->question_valid = true;
        c->question_kind = kind;
        c->question_distance = distance;
    }
    *ret_data = ww_buf_view(&c->question);
    return 0;
}

/* ---- receiving ---- */

static struct known_peer *peer_at(struct ww_boot_core *c, const struct ww_peer_id *id)
{
    uint64_t hash = ww_siphash13(c->seed, ww_peer_id_view(id)) | 1;
    struct known_peer *p = &c->peers[hash / 2 % PEERS];
    if (p->hash != hash)
        *p = (struct known_peer){.hash = hash};
    return p;
}

static size_t heard_lately(const struct ww_boot_core *c, uint64_t now_ns)
{
    size_t n = 0;
    for (size_t i = 0; i < PEERS; i++)
        n += c->peers[i].hash && c->peers[i].heard_ns && c->peers[i].heard_ns + HEARD_FOR_NS > now_ns;
    return n;
}

static struct bucket *source_at(struct ww_boot_core *c, const struct ww_netaddr *from)
{
    return &c->sources[ww_siphash13(c->seed, ww_bytes(from->ip, from->family == 4 ? 4 : 8)) % SOURCES];
}

/* In a small group everybody answers at once. In a large one they take turns, and those whose turn comes
 * after enough others stay silent. */
static void answer_later(struct ww_boot_core *c, uint64_t now_ns, const struct ww_netaddr *to, bool group)
{
    if (c->addr_count == 0 || c->answer_count == ANSWERS_MAX)
        return;
    for (size_t i = 0; i < c->answer_count; i++) {
        if (group && c->answers[i].group && c->answers[i].to.port == to->port &&
            memcmp(c->answers[i].to.ip, to->ip, sizeof to->ip) == 0)
            return; /* one answer serves all who asked the group */
    }
    size_t others = group ? heard_lately(c, now_ns) : 0;
    uint64_t wait_ns = 0;
    if (others > ENOUGH) {
        uint64_t most_ns = others * 10 * WW_NS_PER_MS;
        wait_ns = ww_prng_below(&c->prng, most_ns < ANSWER_WAIT_MAX_NS ? most_ns : ANSWER_WAIT_MAX_NS);
    }
    c->answers[c->answer_count++] =
        (struct answer){.due_ns = now_ns + wait_ns, .to = *to, .group = group, .heard = c->heard};
}

static void received_response(struct ww_boot_core *c, uint64_t now_ns, const struct ww_boot_packet *p)
{
    struct known_peer *known = peer_at(c, &p->peer);
    c->heard++;
    known->heard_ns = now_ns;
    if (!c->searching || p->addr_count == 0)
        return;
    for (size_t i = 0; i < c->target_count; i++) {
        if (c->targets[i].way == WW_BOOT_MULTICAST && c->targets[i].gradual)
            c->searches[i].next_ns = WW_NEVER;
    }
    if (known->reported_ns && known->reported_ns + REPORT_GAP_NS > now_ns)
        return;
    known->reported_ns = now_ns;
    c->packet = *p;
    c->found = true;
}

void ww_boot_core_receive(struct ww_boot_core *c, uint64_t now_ns, const struct ww_netaddr *from,
    const struct ww_netaddr *group, struct ww_bytes datagram)
{
    struct ww_boot_packet p;
    c->found = false;
    if (!bucket_take(&c->verified, &verify_rate, now_ns))
        return;
    ww_err err = ww_boot_packet_open(&c->msg, datagram, &p);
    if (err < 0) {
        trace_dropped(c, from, err);
        return;
    }
    if (ww_peer_id_eq(&p.peer, &c->self) || !ww_bytes_eq(p.ns, core_ns(c)))
        return;
    trace_received(c, from, &p);
    if (p.kind == WW_BOOT_RESPONSE) {
        received_response(c, now_ns, &p);
        return;
    }
    if (p.kind == WW_BOOT_SURVEY && (!group || !ww_boot_within(&c->self, &p.peer, p.distance)))
        return;
    if (c->addr_count > 0 && bucket_take(source_at(c, from), &source_rate, now_ns))
        answer_later(c, now_ns, p.kind == WW_BOOT_SURVEY ? group : from, p.kind == WW_BOOT_SURVEY);
}

/* ---- sending ---- */

static bool next_answer(struct ww_boot_core *c, uint64_t now_ns, struct ww_boot_out *out)
{
    for (size_t i = 0; i < c->answer_count;) {
        struct answer a = c->answers[i];
        if (a.due_ns > now_ns) {
            i++;
            continue;
        }
        c->answers[i] = c->answers[--c->answer_count];
        if (a.group && c->heard - a.heard >= ENOUGH)
            continue; /* enough others were faster */
        if (!bucket_take(&c->answered, &answer_rate, now_ns) || response_view(c, &out->data) < 0)
            continue;
        out->kind = WW_BOOT_OUT_SEND;
        out->to = a.to;
        out->group = a.group;
        out->target = -1;
        trace_sent(c, WW_BOOT_RESPONSE, &a.to, out->data.len);
        return true;
    }
    return false;
}

/* Doubling from `first` to `most`, a tenth more or less. */
static uint64_t gap(struct ww_boot_core *c, uint32_t round, uint64_t first, uint64_t most)
{
    uint64_t ns = round < 16 ? first << round : most;
    ns = ns < most ? ns : most;
    return ns - ns / 10 + ww_prng_below(&c->prng, ns / 5);
}

/* The part of the group that the n-th survey asks: with 64 nodes, one answers the first in the mean. */
static uint8_t survey_distance(const struct ww_boot_target *t, uint32_t round)
{
    static const uint8_t steps[] = {26, 28, 30, 31};
    return t->gradual && round < WW_COUNT_OF(steps) ? steps[round] : 255;
}

static bool next_peer(struct ww_boot_core *c, size_t i, uint64_t now_ns, struct ww_boot_out *out)
{
    const struct ww_boot_target *t = &c->targets[i];
    c->searches[i].next_ns = now_ns + gap(c, c->searches[i].round++, PEER_GAP_NS, 6 * PEER_GAP_NS);
    if (ww_peer_id_eq(&t->peer, &c->self))
        return false;
    c->peer_view = ww_bytes(t->maddr, t->maddr_len);
    out->kind = WW_BOOT_OUT_FOUND;
    out->peer = t->peer;
    out->addrs = &c->peer_view;
    out->addr_count = 1;
    return true;
}

/* The next host of a crawl, or of a scan over ports; false when the round is over. */
static bool crawl_step(struct ww_boot_core *c, size_t i, struct ww_netaddr *ret_to)
{
    struct search *s = &c->searches[i];
    const struct ww_boot_target *t = &c->targets[i];
    if (!s->crawling) {
        s->crawling = true;
        s->port = PORT_FIRST;
        if (t->way == WW_BOOT_SUBNET)
            ww_boot_crawl_init(&s->crawl, &t->addr, t->prefix_bits, ww_prng_u64(&c->prng));
    }
    if (t->way == WW_BOOT_SUBNET) {
        if (ww_boot_crawl_next(&s->crawl, ret_to))
            return true;
    } else if (s->port <= UINT16_MAX) {
        *ret_to = t->addr;
        ret_to->port = (uint16_t)s->port++;
        return true;
    }
    s->crawling = false;
    return false;
}

/* Asks target `i` once. */
static bool next_question(struct ww_boot_core *c, size_t i, uint64_t now_ns, struct ww_boot_out *out)
{
    struct search *s = &c->searches[i];
    const struct ww_boot_target *t = &c->targets[i];
    enum ww_boot_kind kind = t->way == WW_BOOT_MULTICAST ? WW_BOOT_SURVEY : WW_BOOT_REQUEST;
    bool crawl = t->way == WW_BOOT_SUBNET || (t->way == WW_BOOT_HOST && t->addr.port == 0);
    uint8_t distance = kind == WW_BOOT_SURVEY ? survey_distance(t, s->round) : 0;
    out->to = t->addr;
    if (crawl && !crawl_step(c, i, &out->to)) {
        s->next_ns = now_ns + gap(c, s->round++, CRAWL_GAP_NS, CRAWL_GAP_MAX_NS);
        return false;
    }
    if (!crawl)
        s->next_ns = now_ns + gap(c, s->round++, ASK_GAP_MIN_NS, ASK_GAP_MAX_NS);
    WW_ASSERT(bucket_take(&c->send, &send_rate, now_ns)); /* the caller looked */
    if (question_view(c, kind, distance, &out->data) < 0)
        return false;
    out->kind = WW_BOOT_OUT_SEND;
    out->group = kind == WW_BOOT_SURVEY;
    out->target = (int)i;
    trace_sent(c, kind, &out->to, out->data.len);
    return true;
}

void ww_boot_core_next(struct ww_boot_core *c, uint64_t now_ns, struct ww_boot_out *out)
{
    *out = (struct ww_boot_out){.kind = WW_BOOT_OUT_NONE};
    if (c->found) {
        c->found = false;
        out->kind = WW_BOOT_OUT_FOUND;
        out->peer = c->packet.peer;
        out->addrs = c->packet.addrs;
        out->addr_count = c->packet.addr_count;
        return;
    }
    if (next_answer(c, now_ns, out) || !c->searching)
        return;
    for (size_t n = 0; n < c->target_count; n++) {
        size_t i = c->turn++ % c->target_count;
        if (c->searches[i].next_ns > now_ns)
            continue;
        bool peer = c->targets[i].way == WW_BOOT_PEER;
        if (!peer && bucket_ready(&c->send, &send_rate) > now_ns)
            continue;
        if (peer ? next_peer(c, i, now_ns, out) : next_question(c, i, now_ns, out))
            return;
    }
}

uint64_t ww_boot_core_deadline(const struct ww_boot_core *c)
{
    uint64_t first = c->found ? 0 : WW_NEVER;
    for (size_t i = 0; i < c->answer_count; i++)
        first = c->answers[i].due_ns < first ? c->answers[i].due_ns : first;
    for (size_t i = 0; c->searching && i < c->target_count; i++) {
        uint64_t at = c->searches[i].next_ns, ready = bucket_ready(&c->send, &send_rate);
        if (c->targets[i].way != WW_BOOT_PEER && at < ready)
            at = ready;
        first = at < first ? at : first;
    }
    return first;
}
