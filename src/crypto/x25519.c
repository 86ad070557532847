#include "crypto/x25519.h"

#include <sodium.h>

void ww_x25519_public(const uint8_t secret[WW_X25519_BYTES], uint8_t ret_public[WW_X25519_BYTES])
{
    /* Chooses the fast code for this processor; does nothing the second time. */
    int rc = sodium_init();
    WW_ASSERT(rc >= 0);
    rc = crypto_scalarmult_curve25519_base(ret_public, secret);
    WW_ASSERT(rc == 0);
}

ww_err ww_x25519(const uint8_t secret[WW_X25519_BYTES], const uint8_t remote[WW_X25519_BYTES],
    uint8_t ret_shared[WW_X25519_BYTES])
{
    uint8_t shared[WW_X25519_BYTES];
    if (sodium_init() < 0 || crypto_scalarmult_curve25519(shared, secret, remote) != 0)
        return WW_ECRYPTO;
    memcpy(ret_shared, shared, sizeof shared);
    ww_wipe(shared, sizeof shared);
    return 0;
}
