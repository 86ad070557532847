/* A message that nobody vouched for, read through generated accessors: every kind of field, with its default,
 * unions and groups, lists of everything; then copied with typed setters into a builder, twice, and compared.
 */
#include "base/base.h"
#include "kitchen.capnp.h"
#include "walk.h"

static volatile uint64_t sink;

static const struct ww_msg_limits lim = {.words = 1 << 14, .traversal = 1 << 14, .segments = 8, .depth = 64};

static uint64_t scalars(struct kitchen_Scalars_r r)
{
    return kitchen_Scalars_flag(r) + kitchen_Scalars_set(r) + (uint64_t)kitchen_Scalars_i8(r) +
        (uint64_t)kitchen_Scalars_i16(r) + (uint64_t)kitchen_Scalars_i32(r) +
        (uint64_t)kitchen_Scalars_i64(r) + kitchen_Scalars_u8(r) + kitchen_Scalars_u16(r) +
        kitchen_Scalars_u32(r) + kitchen_Scalars_u64(r) + ww_f32_bits(kitchen_Scalars_f32(r)) +
        ww_f64_bits(kitchen_Scalars_f64(r)) + kitchen_Scalars_color(r);
}

static uint64_t point(struct kitchen_Point_r r)
{
    return (uint64_t)kitchen_Point_x(r) + (uint64_t)kitchen_Point_y(r);
}

static uint64_t points(struct kitchen_Point_l l)
{
    uint64_t h = l.l.count;
    for (uint32_t i = 0; i < l.l.count && i < 500; i++)
        h = h * 31 + point(kitchen_Point_l_at(l, i));
    return h;
}

static uint64_t pointers(struct kitchen_Pointers_r r)
{
    uint64_t h = 0;
    for (int depth = 0; depth < 70; depth++) {
        h += walk_bytes(kitchen_Pointers_text(r)) + walk_bytes(kitchen_Pointers_textDefault(r)) +
            walk_bytes(kitchen_Pointers_data(r)) + walk_bytes(kitchen_Pointers_dataDefault(r));
        h += point(kitchen_Pointers_point(r)) + point(kitchen_Pointers_pointDefault(r));
        h += walk_ptr(kitchen_Pointers_any(r)) + (kitchen_Pointers_cap(r) != NULL);
        if (!kitchen_Pointers_has_child(r))
            break;
        r = kitchen_Pointers_child(r);
    }
    return h;
}

static uint64_t lists(struct kitchen_Lists_r r)
{
    uint64_t h = kitchen_Lists_voids(r).count + walk_list(kitchen_Lists_bools(r)) +
        walk_list(kitchen_Lists_i8s(r)) + walk_list(kitchen_Lists_i16s(r)) +
        walk_list(kitchen_Lists_i32s(r)) + walk_list(kitchen_Lists_i64s(r)) +
        walk_list(kitchen_Lists_f32s(r)) + walk_list(kitchen_Lists_f64s(r)) +
        walk_list(kitchen_Lists_colors(r)) + walk_list(kitchen_Lists_withDefault(r));
    struct ww_lr texts = kitchen_Lists_texts(r), datas = kitchen_Lists_datas(r),
                 matrix = kitchen_Lists_matrix(r);
    struct ww_lr point_lists = kitchen_Lists_pointLists(r);
    for (uint32_t i = 0; i < 50; i++) {
        h += walk_bytes(ww_lr_text(texts, i)) + walk_bytes(ww_lr_data(datas, i));
        h += walk_list(ww_pr_list(ww_lr_ptr(matrix, i), WW_ELEM_TWO));
        h += points(kitchen_Point_l_from(ww_lr_ptr(point_lists, i)));
    }
    return h + points(kitchen_Lists_points(r));
}

static uint64_t shape(struct kitchen_Shape_r r)
{
    uint64_t h = 0;
    for (int depth = 0; depth < 70; depth++) {
        h = h * 31 + ww_f64_bits(kitchen_Shape_area(r));
        switch (kitchen_Shape_which(r)) {
        case kitchen_Shape_which_circle:
            h += ww_f64_bits(kitchen_Shape_circle(r));
            break;
        case kitchen_Shape_which_square:
            h += kitchen_Shape_square(r);
            break;
        case kitchen_Shape_which_label:
            h += walk_bytes(kitchen_Shape_label(r));
            break;
        case kitchen_Shape_which_polygon:
            h += points(kitchen_Shape_polygon(r));
            break;
        case kitchen_Shape_which_box: {
            struct kitchen_Shape_box_r box = kitchen_Shape_box(r);
            h += point(kitchen_Shape_box_corner(box)) + kitchen_Shape_box_width(box) +
                kitchen_Shape_box_inner_filled(kitchen_Shape_box_inner(box));
            break;
        }
        default:
            break;
        }
        /* members that are not current are their defaults, whatever the bits */
        if (kitchen_Shape_which(r) != kitchen_Shape_which_square)
            WW_ASSERT(kitchen_Shape_square(r) == 9);
        if (kitchen_Shape_which(r) != kitchen_Shape_which_label)
            WW_ASSERT(kitchen_Shape_label(r).len == 0);
        struct kitchen_Shape_tail_r tail = kitchen_Shape_tail(r);
        if (kitchen_Shape_tail_which(tail) != kitchen_Shape_tail_which_next)
            break;
        r = kitchen_Shape_tail_next(tail);
    }
    return h;
}

/* Copies by type: the copy reads the same. */
static void copy_typed(struct ww_msg *m, struct ww_bytes frame, uint32_t hint)
{
    struct ww_msg copy;
    ww_msg_init(&copy, NULL);
    ww_msg_hint(&copy, hint);
    WW_ASSERT(ww_msg_open(m, frame, &lim) == 0);
    struct kitchen_Lists_r from = kitchen_Lists_r_root(m);
    struct kitchen_Lists_b to = kitchen_Lists_b_root(&copy);
    kitchen_Lists_set_points(to, kitchen_Lists_points(from));
    kitchen_Lists_set_texts(to, kitchen_Lists_texts(from));
    kitchen_Lists_set_bools(to, kitchen_Lists_bools(from));
    /* Elements narrower than a field do not reach it; written as structs they do. No schema could grow so. */
    bool whole = kitchen_Lists_points(from).l.data_bytes % 4 == 0;
    if (ww_msg_err(m) == 0 && ww_msg_err(&copy) == 0 && whole) {
        uint64_t sum = points(kitchen_Lists_points(from));
        struct kitchen_Lists_r back = kitchen_Lists_b_reader(to);
        WW_ASSERT(points(kitchen_Lists_points(back)) == sum || ww_msg_err(m) < 0);
        struct kitchen_Point_lb grown =
            kitchen_Lists_get_points(to); /* written as structs of this schema's size */
        WW_ASSERT(grown.l.count == kitchen_Lists_points(back).l.count);
        struct ww_orphan o = kitchen_Lists_disown_points(to);
        WW_ASSERT(!kitchen_Lists_has_points(kitchen_Lists_b_reader(to)));
        kitchen_Lists_adopt_points(to, &o);
        WW_ASSERT(points(kitchen_Lists_points(kitchen_Lists_b_reader(to))) == sum || ww_msg_err(m) < 0);
        WW_ASSERT(ww_msg_err(&copy) == 0);
    }
    ww_msg_fini(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct ww_msg m;
    ww_msg_init(&m, NULL);
    if (ww_msg_open(&m, ww_bytes(data, len), &lim) == 0) {
        sink += scalars(kitchen_Scalars_r_root(&m));
        sink += pointers(kitchen_Pointers_r_root(&m));
        WW_ASSERT(ww_msg_open(&m, ww_bytes(data, len), &lim) == 0);
        sink += lists(kitchen_Lists_r_root(&m));
        WW_ASSERT(ww_msg_open(&m, ww_bytes(data, len), &lim) == 0);
        sink += shape(kitchen_Shape_r_root(&m));
        copy_typed(&m, ww_bytes(data, len), data[len - 1]);
    }
    ww_msg_fini(&m);
    return 0;
}
