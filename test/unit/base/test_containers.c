#include "test/lib/test.h"

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/prng.h"
#include "base/slots.h"

struct item {
    struct ww_map_node map;
    struct ww_heap_node heap;
    uint32_t key;
    uint64_t due;
    bool in;
};

static struct ww_bytes item_key(const struct ww_map_node *n)
{
    return ww_bytes(&WW_CONTAINER_OF(n, struct item, map)->key, sizeof(uint32_t));
}

static void map_agrees_with_a_set(void **state)
{
    WW_UNUSED(state);
    enum { N = 500 };
    struct item *items = calloc(N, sizeof *items);
    struct ww_map m;
    struct ww_prng p;
    const uint64_t seed[2] = {1, 2};
    ww_map_init(&m, item_key, seed);
    ww_prng_init(&p, 3);
    size_t live = 0;
    for (uint32_t i = 0; i < N; i++)
        items[i].key = i;
    for (int round = 0; round < 20000; round++) {
        struct item *it = &items[ww_prng_below(&p, N)];
        assert_int_equal(ww_map_get(&m, item_key(&it->map)) != NULL, it->in);
        if (it->in)
            ww_map_remove(&m, &it->map);
        else
            assert_ok(ww_map_insert(&m, &it->map));
        it->in = !it->in;
        live += it->in ? 1 : (size_t)-1;
        assert_int_equal(m.count, live);
    }
    size_t seen = 0;
    for (struct ww_map_node *n = ww_map_next(&m, NULL); n; n = ww_map_next(&m, n))
        seen++;
    assert_int_equal(seen, live);
    ww_map_fini(&m);
    free(items);
}

static void siphash_is_keyed(void **state)
{
    WW_UNUSED(state);
    const uint64_t a[2] = {0, 0}, b[2] = {0, 1};
    assert_true(ww_siphash13(a, WW_BYTES_LIT("x")) != ww_siphash13(b, WW_BYTES_LIT("x")));
    assert_true(ww_siphash13(a, WW_BYTES_LIT("")) != ww_siphash13(a, ww_bytes("\0", 1)));
}

static void heap_sorts_and_removes(void **state)
{
    WW_UNUSED(state);
    enum { N = 400 };
    struct item *items = calloc(N, sizeof *items);
    struct ww_heap h = {0};
    struct ww_prng p;
    ww_prng_init(&p, 11);
    for (uint32_t i = 0; i < N; i++) {
        items[i].key = i;
        items[i].due = ww_prng_below(&p, 50);
        ww_heap_insert(&h, &items[i].heap, items[i].due);
        items[i].in = true;
    }
    for (uint32_t i = 0; i < N; i += 3) {
        ww_heap_remove(&h, &items[i].heap);
        items[i].in = false;
    }
    uint64_t last_due = 0;
    uint32_t last_key = 0;
    size_t seen = 0;
    for (struct ww_heap_node *n; (n = ww_heap_min(&h)); seen++) {
        struct item *it = WW_CONTAINER_OF(n, struct item, heap);
        assert_true(it->in);
        assert_true(it->due > last_due || (it->due == last_due && (seen == 0 || it->key > last_key)));
        last_due = it->due;
        last_key = it->key;
        ww_heap_remove(&h, n);
    }
    assert_int_equal(seen, N - (N + 2) / 3);
    assert_int_equal(h.count, 0);
    free(items);
}

static void slots_refuse_stale_ids(void **state)
{
    WW_UNUSED(state);
    struct ww_slots s;
    ww_slots_init(&s);
    int a, b;
    ww_id ia, ib, ic;
    assert_ok(ww_slots_add(&s, &a, &ia));
    assert_ok(ww_slots_add(&s, &b, &ib));
    assert_ptr_equal(ww_slots_get(&s, ia), &a);
    ww_slots_remove(&s, ia);
    assert_null(ww_slots_get(&s, ia));
    assert_ok(ww_slots_add(&s, &a, &ic));
    assert_true(ic != ia);
    assert_null(ww_slots_get(&s, ia));
    assert_null(ww_slots_get(&s, 0));
    assert_null(ww_slots_get(&s, UINT64_MAX));
    ww_slots_fini(&s);
}

static void list_moves(void **state)
{
    WW_UNUSED(state);
    struct ww_list l, m, n[4];
    ww_list_init(&l);
    ww_list_init(&m);
    for (int i = 0; i < 4; i++)
        ww_list_push_back(i < 2 ? &l : &m, &n[i]);
    ww_list_splice_back(&l, &m);
    assert_true(ww_list_empty(&m));
    for (int i = 0; i < 4; i++)
        assert_ptr_equal(ww_list_pop_front(&l), &n[i]);
    assert_null(ww_list_pop_front(&l));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_agrees_with_a_set),
        cmocka_unit_test(siphash_is_keyed),
        cmocka_unit_test(heap_sorts_and_removes),
        cmocka_unit_test(slots_refuse_stale_ids),
        cmocka_unit_test(list_moves),
    };
    return cmocka_run_group_tests_name("base/containers", tests, NULL, NULL);
}
