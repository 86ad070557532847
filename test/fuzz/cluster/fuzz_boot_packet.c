/* Discovery: a datagram straight into the core, and its inside under a good signature, as an attacker would
 * make it. */
#include "cluster/boot.h"
#include "p2p/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(struct ww_boot_core *core, struct ww_bytes datagram)
{
    struct ww_netaddr from = {.family = 4, .ip = {10, 0, 0, 1}, .port = 1},
                      group = {.family = 4, .ip = {228, 8, 8, 8}, .port = 8822};
    struct ww_boot_out out;
    ww_boot_core_receive(core, WW_NS_PER_S, &from, &group, datagram);
    do {
        ww_boot_core_next(core, WW_NS_PER_S, &out);
    } while (out.kind != WW_BOOT_OUT_NONE);
    WW_ASSERT(ww_boot_core_deadline(core) > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seeds[2][WW_ED25519_SEED_BYTES] = {{1}, {2}};
    struct ww_keypair self, other;
    struct ww_boot_target target;
    struct ww_buf sealed;
    struct ww_bytes addr = WW_BYTES_LIT("\x04\x7f\x00\x00\x01\x06\x10\x00");
    struct ww_boot_core *core;
    ww_keypair_from_seed(&self, seeds[0]);
    ww_keypair_from_seed(&other, seeds[1]);
    ww_boot_target_default(&target);
    struct ww_boot_core_conf conf = {
        .signer = &self, .ns = WW_BYTES_LIT("ww"), .targets = &target, .target_count = 1};
    WW_ASSERT(ww_boot_core_new(&conf, &core) == 0);
    WW_ASSERT(ww_boot_core_set_addrs(core, &addr, 1) == 0);
    ww_boot_core_search(core, WW_NS_PER_S, true);
    feed(core, ww_bytes(data, size));
    ww_buf_init(&sealed, 1 << 16);
    if (size < 4096 &&
        ww_envelope_seal(&other, WW_BYTES_LIT("casm-boot-record"), WW_BYTES_LIT("\x1f\x00"),
            ww_bytes(data, size), &sealed) == 0)
        feed(core, ww_buf_view(&sealed));
    ww_buf_fini(&sealed);
    ww_boot_core_free(core);
    ww_keypair_fini(&self);
    ww_keypair_fini(&other);
    return 0;
}
