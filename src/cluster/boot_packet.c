#include "cluster/boot_packet.h"

#include "p2p/envelope.h"
#include "p2p/multiaddr.h"
#include "schema/boot.capnp.h"

#define DOMAIN WW_BYTES_LIT("casm-boot-record")
#define PAYLOAD_TYPE WW_BYTES_LIT("\x1f\x00")

static const struct ww_msg_limits packet_limits = {.words = 1024, .segments = 8, .depth = 8};

ww_err ww_boot_packet_encode(const struct ww_boot_packet *packet, struct ww_buf *out)
{
    struct ww_msg msg;
    struct ww_bytes peer = ww_peer_id_view(&packet->peer);
    uint8_t *room;
    if (packet->ns.len == 0 || packet->ns.len > WW_BOOT_NS_MAX || packet->addr_count > WW_BOOT_ADDRS_MAX)
        return WW_EINVAL;
    ww_msg_init(&msg, NULL);
    struct ww_Packet_b b = ww_Packet_b_root(&msg);
    ww_Packet_set_namespace(b, packet->ns);
    if (packet->kind == WW_BOOT_REQUEST) {
        ww_Packet_request_set_from(ww_Packet_get_request(b), peer);
    } else if (packet->kind == WW_BOOT_SURVEY) {
        ww_Packet_survey_set_from(ww_Packet_get_survey(b), peer);
        ww_Packet_survey_set_distance(ww_Packet_get_survey(b), packet->distance);
    } else {
        struct ww_Packet_response_b response = ww_Packet_get_response(b);
        ww_Packet_response_set_peer(response, peer);
        struct ww_lb addrs = ww_Packet_response_init_addrs(response, (uint32_t)packet->addr_count);
        for (uint32_t i = 0; i < packet->addr_count; i++)
            ww_pb_set_data(ww_lb_ptr(addrs, i), packet->addrs[i]);
    }
    ww_err err = ww_msg_err(&msg);
    if (err == 0)
        err = ww_buf_reserve(out, ww_msg_pack_bound(&msg), &room);
    if (err == 0)
        ww_buf_commit(out, ww_msg_pack(&msg, room));
    ww_msg_fini(&msg);
    return err;
}

static ww_err seal_once(
    const struct ww_keypair *signer, const struct ww_boot_packet *packet, struct ww_buf *out)
{
    struct ww_buf payload;
    size_t before = ww_buf_len(out);
    ww_buf_init(&payload, 2 * WW_BOOT_DATAGRAM_MAX + WW_BOOT_ADDRS_MAX * WW_MULTIADDR_MAX_BYTES * 2);
    ww_err err = ww_boot_packet_encode(packet, &payload);
    if (err == 0 && ww_buf_len(&payload) > WW_BOOT_DATAGRAM_MAX)
        err = WW_ELIMIT;
    if (err == 0)
        err = ww_envelope_seal(signer, DOMAIN, PAYLOAD_TYPE, ww_buf_view(&payload), out);
    ww_buf_fini(&payload);
    if (err == 0 && ww_buf_len(out) - before > WW_BOOT_DATAGRAM_MAX) {
        out->tail = out->head + before;
        err = WW_ELIMIT;
    }
    return err;
}

ww_err ww_boot_packet_seal(
    const struct ww_keypair *signer, const struct ww_boot_packet *packet, struct ww_buf *out)
{
    struct ww_boot_packet p = *packet;
    ww_peer_id_from_key(&signer->pub, &p.peer);
    ww_err err = seal_once(signer, &p, out);
    while (err == WW_ELIMIT && p.addr_count > 1) {
        p.addr_count--;
        err = seal_once(signer, &p, out);
    }
    return err;
}

/* Text that is a peer id in its raw form. */
static ww_err sender_decode(struct ww_bytes text, const struct ww_pubkey *key, struct ww_peer_id *ret_peer)
{
    struct ww_peer_id peer;
    WW_TRY(ww_peer_id_decode(text, &peer));
    if (!ww_peer_id_matches(&peer, key))
        return WW_EPEERID;
    *ret_peer = peer;
    return 0;
}

static void addrs_decode(struct ww_lr list, struct ww_boot_packet *packet)
{
    for (uint32_t i = 0;
         i < list.count && i < 4 * WW_BOOT_ADDRS_MAX && packet->addr_count < WW_BOOT_ADDRS_MAX; i++) {
        struct ww_bytes addr = ww_pr_data(ww_lr_ptr(list, i));
        if (ww_multiaddr_check(addr) == 0)
            packet->addrs[packet->addr_count++] = addr;
    }
}

ww_err ww_boot_packet_open(struct ww_msg *msg, struct ww_bytes datagram, struct ww_boot_packet *ret_packet)
{
    struct ww_envelope env;
    struct ww_boot_packet packet = {0};
    struct ww_bytes sender;
    if (datagram.len > WW_BOOT_DATAGRAM_MAX)
        return WW_ELIMIT;
    WW_TRY(ww_envelope_open(datagram, DOMAIN, &env));
    if (!ww_bytes_eq(env.payload_type, PAYLOAD_TYPE))
        return WW_EPROTO;
    WW_TRY(ww_msg_open_packed(msg, env.payload, &packet_limits));
    struct ww_Packet_r r = ww_Packet_r_root(msg);
    packet.ns = ww_Packet_namespace(r);
    switch (ww_Packet_which(r)) {
    case ww_Packet_which_request:
        packet.kind = WW_BOOT_REQUEST;
        sender = ww_Packet_request_from(ww_Packet_request(r));
        break;
    case ww_Packet_which_survey:
        packet.kind = WW_BOOT_SURVEY;
        sender = ww_Packet_survey_from(ww_Packet_survey(r));
        packet.distance = ww_Packet_survey_distance(ww_Packet_survey(r));
        break;
    case ww_Packet_which_response:
        packet.kind = WW_BOOT_RESPONSE;
        sender = ww_Packet_response_peer(ww_Packet_response(r));
        addrs_decode(ww_Packet_response_addrs(ww_Packet_response(r)), &packet);
        break;
    default:
        return WW_EPROTO;
    }
    WW_TRY(ww_msg_err(msg));
    if (packet.ns.len == 0 || packet.ns.len > WW_BOOT_NS_MAX)
        return WW_EPROTO;
    WW_TRY(sender_decode(sender, &env.key, &packet.peer));
    *ret_packet = packet;
    return 0;
}

bool ww_boot_within(const struct ww_peer_id *self, const struct ww_peer_id *other, uint8_t distance)
{
    if (distance >= 32)
        return true;
    if (self->len < 4 || other->len < 4)
        return false;
    uint32_t x = ww_le32_load(self->bytes + self->len - 4) ^ ww_le32_load(other->bytes + other->len - 4);
    return x >> distance == 0;
}
