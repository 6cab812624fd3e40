/* SPDX-License-Identifier: Apache-2.0
 *
 * parcel: see parcel.h.
 */
#include "parcel.h"
#include "bytes.h"

#include <sodium.h>
#include <zmq.h>

enum {
    KEY_BYTES = 32,
    LINK_AT = 1 + KEY_BYTES,
    PROOF_AT = LINK_AT + PARCEL_LINK_BYTES,
    FRAMES_AT = PROOF_AT + PARCEL_PROOF_BYTES,
    REPLY_PROOF_AT = 1,
    REPLY_FRAMES_AT = REPLY_PROOF_AT + PARCEL_PROOF_BYTES,
};

_Static_assert(PARCEL_SECRET_BYTES == crypto_box_BEFORENMBYTES, "what crypto_box shares is a secret");
_Static_assert(KEY_BYTES == crypto_box_PUBLICKEYBYTES, "a CURVE key is one of crypto_box");

static bool decode_key(const char *z85, uint8_t out[KEY_BYTES])
{
    return strlen(z85) == CURVE_Z85_BYTES - 1 && zmq_z85_decode(out, z85) != NULL;
}

int parcel_share(struct parcel_secret *out, const char *own_secret_z85, const char *other_public_z85)
{
    uint8_t own[KEY_BYTES], other[KEY_BYTES];
    bool good = decode_key(own_secret_z85, own) && decode_key(other_public_z85, other) &&
                crypto_box_beforenm(out->b, other, own) == 0;
    sodium_memzero(own, sizeof own);
    return good ? 0 : ERR_INVALID;
}

/* ---- proofs ---------------------------------------------------------------------------------- */

/* Each part with its length, so that no two lists of parts are the same bytes. */
static void hash_part(crypto_generichash_state *state, struct slice part)
{
    uint64_t n = part.n;
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof bytes; i++, n >>= 8)
        bytes[i] = (uint8_t)n;
    (void)crypto_generichash_update(state, bytes, sizeof bytes);
    (void)crypto_generichash_update(state, (const uint8_t *)part.p, part.n);
}

static void prove(const struct parcel_secret *secret, struct slice what, struct slice a, struct slice b,
                  struct slice frames, uint8_t proof[PARCEL_PROOF_BYTES])
{
    crypto_generichash_state state;
    (void)crypto_generichash_init(&state, secret->b, sizeof secret->b, PARCEL_PROOF_BYTES);
    hash_part(&state, what);
    hash_part(&state, a);
    hash_part(&state, b);
    hash_part(&state, frames);
    (void)crypto_generichash_final(&state, proof, PARCEL_PROOF_BYTES);
}

static void prove_request(const struct parcel_secret *secret, struct slice api_key,
                          const uint8_t link[PARCEL_LINK_BYTES], struct slice frames,
                          uint8_t proof[PARCEL_PROOF_BYTES])
{
    prove(secret, SLICE("mail-analytics parcel"), api_key,
          (struct slice){(const char *)link, PARCEL_LINK_BYTES}, frames, proof);
}

static void prove_reply(const struct parcel_secret *secret, const uint8_t request_proof[PARCEL_PROOF_BYTES],
                        struct slice frames, uint8_t proof[PARCEL_PROOF_BYTES])
{
    prove(secret, SLICE("mail-analytics parcel's reply"),
          (struct slice){(const char *)request_proof, PARCEL_PROOF_BYTES}, SLICE(""), frames, proof);
}

/* ---- writing --------------------------------------------------------------------------------- */

static int put_blank(struct bytes_writer *w)
{
    static const uint8_t blank[PARCEL_PROOF_BYTES];
    bytes_put(w, blank, sizeof blank);
    return w->rc;
}

int parcel_begin(struct buf *out, const char *edge_public_z85, const uint8_t link[PARCEL_LINK_BYTES])
{
    uint8_t key[KEY_BYTES];
    struct bytes_writer w = {.out = out};
    buf_clear(out);
    if (!decode_key(edge_public_z85, key))
        return ERR_INVALID;
    bytes_put_u8(&w, PARCEL_VERSION);
    bytes_put(&w, key, sizeof key);
    bytes_put(&w, link, PARCEL_LINK_BYTES);
    return put_blank(&w);
}

int parcel_begin_reply(struct buf *out)
{
    struct bytes_writer w = {.out = out};
    buf_clear(out);
    bytes_put_u8(&w, PARCEL_VERSION);
    return put_blank(&w);
}

int parcel_add(struct buf *out, const struct frame *frame)
{
    size_t before = out->n;
    struct bytes_writer w = {.out = out};
    bytes_put_u32(&w, 0);
    int rc = w.rc == 0 ? frame_encode(frame, out) : w.rc;
    if (rc != 0) {
        out->n = before;
        return rc;
    }
    size_t n = out->n - before - 4;
    for (size_t i = 0; i < 4; i++)
        out->p[before + i] = (char)(uint8_t)(n >> 8 * i);
    return 0;
}

int parcel_add_bytes(struct buf *out, struct slice frame)
{
    struct bytes_writer w = {.out = out};
    int rc = buf_reserve(out, 4 + frame.n);
    if (rc != 0)
        return rc;
    bytes_put_u32(&w, (uint32_t)frame.n);
    bytes_put(&w, frame.p, frame.n);
    return w.rc;
}

void parcel_seal(struct buf *out, const struct parcel_secret *secret, struct slice api_key,
                 uint8_t proof[PARCEL_PROOF_BYTES])
{
    struct slice frames = {out->p + FRAMES_AT, out->n - FRAMES_AT};
    uint8_t *place = (uint8_t *)out->p + PROOF_AT;
    prove_request(secret, api_key, (const uint8_t *)out->p + LINK_AT, frames, place);
    if (proof != NULL)
        memcpy(proof, place, PARCEL_PROOF_BYTES);
}

void parcel_seal_reply(struct buf *out, const struct parcel_secret *secret,
                       const uint8_t request_proof[PARCEL_PROOF_BYTES])
{
    struct slice frames = {out->p + REPLY_FRAMES_AT, out->n - REPLY_FRAMES_AT};
    prove_reply(secret, request_proof, frames, (uint8_t *)out->p + REPLY_PROOF_AT);
}

/* ---- reading --------------------------------------------------------------------------------- */

bool parcel_next(struct slice *frames, struct slice *frame)
{
    struct bytes_reader r = {.rest = *frames};
    if (frames->n == 0)
        return false;
    *frame = bytes_get(&r, bytes_get_u32(&r));
    *frames = r.rest;
    return !r.failed;
}

static int check_list(struct slice frames, size_t *count)
{
    struct bytes_reader r = {.rest = frames};
    *count = 0;
    while (r.rest.n > 0) {
        uint32_t n = bytes_get_u32(&r);
        if (n > FRAME_BYTES || ++*count > PARCEL_FRAMES)
            return ERR_LIMIT;
        (void)bytes_get(&r, n);
        if (r.failed)
            return ERR_INVALID;
    }
    return 0;
}

int parcel_open(struct slice body, struct parcel *out)
{
    uint8_t key[KEY_BYTES];
    struct bytes_reader r = {.rest = body};
    uint8_t version = bytes_get_u8(&r);
    if (!r.failed && version != PARCEL_VERSION)
        return ERR_VERSION;
    bytes_get_into(&r, key, sizeof key);
    bytes_get_into(&r, out->link, sizeof out->link);
    bytes_get_into(&r, out->proof, sizeof out->proof);
    out->frames = r.rest;
    if (r.failed || zmq_z85_encode(out->edge_key, key, sizeof key) == NULL)
        return ERR_INVALID;
    return check_list(out->frames, &out->count);
}

int parcel_check(const struct parcel *parcel, const struct parcel_secret *secret, struct slice api_key)
{
    uint8_t proof[PARCEL_PROOF_BYTES];
    prove_request(secret, api_key, parcel->link, parcel->frames, proof);
    return sodium_memcmp(proof, parcel->proof, sizeof proof) == 0 ? 0 : ERR_DENIED;
}

int parcel_open_reply(struct slice body, const struct parcel_secret *secret,
                      const uint8_t request_proof[PARCEL_PROOF_BYTES], struct slice *frames)
{
    uint8_t said[PARCEL_PROOF_BYTES], proof[PARCEL_PROOF_BYTES];
    size_t count;
    struct bytes_reader r = {.rest = body};
    uint8_t version = bytes_get_u8(&r);
    if (!r.failed && version != PARCEL_VERSION)
        return ERR_VERSION;
    bytes_get_into(&r, said, sizeof said);
    if (r.failed)
        return ERR_INVALID;
    prove_reply(secret, request_proof, r.rest, proof);
    if (sodium_memcmp(proof, said, sizeof proof) != 0)
        return ERR_DENIED;
    *frames = r.rest;
    return check_list(*frames, &count);
}
