/* capnp/pack.h — unpacking that can stop between any two bytes. */
#ifndef WW_CAPNP_PACK_H
#define WW_CAPNP_PACK_H

#include "base/base.h"
#include "ww/capnp.h"

enum ww_unpack_state {
    WW_UNPACK_TAG,        /* at a word boundary: the next byte is a tag */
    WW_UNPACK_BYTES,      /* inside a word */
    WW_UNPACK_ZERO_COUNT, /* after a zero word: the number of further ones comes */
    WW_UNPACK_RAW_COUNT,  /* after a full word: the number of verbatim words comes */
    WW_UNPACK_ZEROES,
    WW_UNPACK_RAW,
};

/* Zero is the start of a stream. */
struct ww_unpacker {
    enum ww_unpack_state state;
    uint8_t tag;
    uint8_t bit;   /* of the tag, next */
    uint32_t run;  /* bytes of the run still to come */
    bool portable; /* without the instructions of this machine, for tests */
};

/* Unpacks from *io_in into `out` until one is used up, then takes the count byte that belongs to the last
 * word if it is there. `room` is a multiple of 8 minus what an earlier call left of a word. Returns the bytes
 * written. */
size_t ww_unpack_some(struct ww_unpacker *u, struct ww_bytes *io_in, uint8_t *out, size_t room);

/* ww_pack without the instructions of this machine, for tests. */
size_t ww_pack_portable(struct ww_bytes words, uint8_t *out);

#endif
