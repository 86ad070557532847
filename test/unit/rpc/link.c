#include "link.h"

static void queue_push(struct link_queue *q, const struct link_packet *p)
{
    if (q->count == q->capacity) {
        size_t capacity = q->capacity ? q->capacity * 2 : 64;
        struct link_packet *at = ww_alloc(capacity * sizeof *at);
        assert_non_null(at);
        for (size_t i = 0; i < q->count; i++)
            at[i] = q->at[(q->head + i) % q->capacity];
        ww_free(q->at);
        q->at = at;
        q->head = 0;
        q->capacity = capacity;
    }
    q->at[(q->head + q->count++) % q->capacity] = *p;
}

static struct link_packet queue_pop(struct link_queue *q)
{
    struct link_packet p = q->at[q->head];
    q->head = (q->head + 1) % q->capacity;
    q->count--;
    return p;
}

static uint64_t service_ns(const struct link *l, uint64_t bytes)
{
    return (uint64_t)((double)bytes * 8e9 / (double)l->rate) + 1;
}

void link_init(struct link *l, uint64_t bits_per_s, uint64_t rtt_ns, uint64_t seed)
{
    *l = (struct link){.now_ns = WW_NS_PER_S, .rate = bits_per_s, .rtt_ns = rtt_ns};
    ww_prng_init(&l->prng, seed);
    l->marked_ns = l->queue_since_ns = l->now_ns;
}

void link_fini(struct link *l)
{
    ww_free(l->queue.at);
    for (unsigned i = 0; i < l->flow_count; i++)
        ww_free(l->flows[i].acks.at);
}

static void next_message(struct link *l, struct link_flow *f)
{
    f->next_bytes = f->message_min;
    if (f->message_max > f->message_min)
        f->next_bytes += ww_prng_below(&l->prng, f->message_max - f->message_min + 1);
}

void link_add(
    struct link *l, struct ww_rpc_flow *ctl, uint64_t message_min, uint64_t message_max, uint64_t start_ns)
{
    assert_true(l->flow_count < LINK_FLOWS);
    struct link_flow *f = &l->flows[l->flow_count++];
    *f = (struct link_flow){.ctl = ctl,
        .start_ns = l->now_ns + start_ns,
        .app_sent_ns = l->now_ns + start_ns,
        .message_min = message_min,
        .message_max = message_max};
    ww_rpc_flow_meter_init(&f->meter, f->start_ns);
    next_message(l, f);
}

static void queue_account(struct link *l)
{
    uint64_t waiting = l->queue.count ? l->queued_bytes - l->queue.at[l->queue.head].mark.bytes : 0;
    l->queue_time += (double)waiting * (double)(l->now_ns - l->queue_since_ns);
    l->queue_since_ns = l->now_ns;
}

static bool has_room(const struct link_flow *f)
{
    return f->meter.in_flight < f->ctl->window_bytes;
}

static void flow_send(struct link *l, unsigned index)
{
    struct link_flow *f = &l->flows[index];
    if (l->now_ns < f->start_ns)
        return;
    if (f->waiting && has_room(f)) {
        f->waiting = false;
        ww_rpc_flow_opened(&f->meter, l->now_ns);
    }
    f->waiting = !has_room(f); /* the window may have shrunk meanwhile */
    while (!f->waiting && f->app_sent_ns <= l->now_ns) {
        struct link_packet p = {.flow = index};
        ww_rpc_flow_sent(&f->meter, &p.mark, f->next_bytes, f->ctl->window_bytes, l->now_ns);
        assert_true(f->meter.in_flight < f->ctl->window_bytes + f->meter.message_max);
        queue_account(l);
        if (l->queue.count == 0)
            l->done_ns = l->now_ns + service_ns(l, p.mark.bytes);
        l->queued_bytes += p.mark.bytes;
        queue_push(&l->queue, &p);
        if (f->app_rate)
            f->app_sent_ns = l->now_ns + (uint64_t)((double)f->next_bytes * 1e9 / (double)f->app_rate);
        next_message(l, f);
        f->waiting = !has_room(f);
    }
}

static void served(struct link *l)
{
    queue_account(l);
    struct link_packet p = queue_pop(&l->queue);
    l->queued_bytes -= p.mark.bytes;
    l->served += p.mark.bytes;
    p.at_ns = l->now_ns + l->rtt_ns + (l->jitter_ns ? ww_prng_below(&l->prng, l->jitter_ns) : 0);
    struct link_queue *acks = &l->flows[p.flow].acks;
    if (acks->count) { /* Returns of one object keep their order */
        uint64_t last = acks->at[(acks->head + acks->count - 1) % acks->capacity].at_ns;
        if (p.at_ns < last)
            p.at_ns = last;
    }
    queue_push(acks, &p);
    if (l->queue.count)
        l->done_ns = l->now_ns + service_ns(l, l->queue.at[l->queue.head].mark.bytes);
}

static void acked(struct link *l, unsigned index)
{
    struct link_flow *f = &l->flows[index];
    while (f->acks.count && f->acks.at[f->acks.head].at_ns <= l->now_ns) {
        struct link_packet p = queue_pop(&f->acks);
        f->delivered += p.mark.bytes;
        ww_rpc_flow_acked(&f->meter, &p.mark);
    }
    struct ww_rpc_flow_sample s;
    if (ww_rpc_flow_sample(&f->meter, l->now_ns, &s) && f->ctl->ops)
        f->ctl->ops->acked(f->ctl, &s);
    assert_true(f->ctl->window_bytes > 0);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t next_event(const struct link *l)
{
    uint64_t next = l->queue.count ? l->done_ns : UINT64_MAX;
    for (unsigned i = 0; i < l->flow_count; i++) {
        const struct link_flow *f = &l->flows[i];
        if (f->acks.count)
            next = min_u64(next, f->acks.at[f->acks.head].at_ns);
        if (f->start_ns > l->now_ns)
            next = min_u64(next, f->start_ns);
        else if (!f->waiting && f->app_sent_ns > l->now_ns)
            next = min_u64(next, f->app_sent_ns);
    }
    return next;
}

void link_run(struct link *l, uint64_t until_ns)
{
    for (unsigned i = 0; i < l->flow_count; i++)
        flow_send(l, i);
    for (;;) {
        uint64_t next = next_event(l);
        assert_true(next != UINT64_MAX); /* somebody can always go on */
        if (next > until_ns)
            break;
        l->now_ns = next;
        l->steps++;
        if (l->queue.count && l->done_ns == next)
            served(l);
        for (unsigned i = 0; i < l->flow_count; i++) {
            acked(l, i);
            flow_send(l, i);
        }
    }
    l->now_ns = until_ns;
    queue_account(l);
}

void link_mark(struct link *l)
{
    queue_account(l);
    l->marked_ns = l->now_ns;
    l->served = 0;
    l->queue_time = 0;
    for (unsigned i = 0; i < l->flow_count; i++)
        l->flows[i].delivered = 0;
}

double link_utilization(const struct link *l)
{
    return (double)l->served * 8e9 / ((double)l->rate * (double)(l->now_ns - l->marked_ns));
}

double link_queue_mean(struct link *l)
{
    queue_account(l);
    return l->queue_time / (double)(l->now_ns - l->marked_ns);
}

double link_share(const struct link *l, unsigned flow)
{
    double sum = 0;
    for (unsigned i = 0; i < l->flow_count; i++)
        sum += (double)l->flows[i].delivered;
    return (double)l->flows[flow].delivered / sum;
}

double link_jain(const struct link *l)
{
    double sum = 0, squares = 0;
    for (unsigned i = 0; i < l->flow_count; i++) {
        double x = (double)l->flows[i].delivered;
        sum += x;
        squares += x * x;
    }
    return squares > 0 ? sum * sum / ((double)l->flow_count * squares) : 0;
}
