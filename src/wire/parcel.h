/* SPDX-License-Identifier: Apache-2.0
 *
 * parcel: frames in the body of one HTTPS request, and the answers in the body of its reply; pure.
 *
 *   request  u8 version (1), edge's CURVE public key (32 bytes), link (16), proof (32), frames
 *   reply    u8 version (1), proof (32), frames
 *   frames   each u32 length (little endian) and a frame (frame.h)
 *
 * TLS ends wherever the operator ends it, so a parcel vouches for itself: the proofs are BLAKE2b-256 under
 * the secret that the edge's and the hub's CURVE keys share (X25519, as crypto_box computes it). A request's
 * proves the edge's key, which the hub pins as it does over ZeroMQ, and covers the API key, the link and the
 * frames; a reply's covers the request's proof, so that no one between can invent an ack or repeat an old
 * one. link is a random name of the edge's choice for what would be a connection in ZeroMQ.
 */
#ifndef WIRE_PARCEL_H
#define WIRE_PARCEL_H

#include "curve.h"
#include "frame.h"

enum {
    PARCEL_VERSION = 1,
    PARCEL_SECRET_BYTES = 32,
    PARCEL_LINK_BYTES = 16,
    PARCEL_PROOF_BYTES = 32,
    PARCEL_FRAMES = 16, /* in one parcel at most */
    PARCEL_BYTES = 4 * 1024 * 1024,
    PARCEL_REPLY_BYTES = PARCEL_FRAMES * (FRAME_SMALL_BYTES + 4) + 64,
};
#define PARCEL_TYPE "application/vnd.mail-analytics.frames"

struct parcel_secret {
    uint8_t b[PARCEL_SECRET_BYTES];
};

/* What two key pairs share; the same from either side. ERR_INVALID: a key is none, or a weak one. */
MUST_CHECK int parcel_share(struct parcel_secret *out, const char *own_secret_z85,
                            const char *other_public_z85);

/* ---- writing: begin, add frames, seal. The buf's limit bounds it. */
MUST_CHECK int parcel_begin(struct buf *out, const char *edge_public_z85,
                            const uint8_t link[PARCEL_LINK_BYTES]);
MUST_CHECK int parcel_begin_reply(struct buf *out);
MUST_CHECK int parcel_add(struct buf *out, const struct frame *frame);
MUST_CHECK int parcel_add_bytes(struct buf *out, struct slice frame); /* encoded already */
/* Writes the proof into a request's or a reply's place for it; *proof gets it too (may be NULL). */
void parcel_seal(struct buf *out, const struct parcel_secret *secret, struct slice api_key,
                 uint8_t proof[PARCEL_PROOF_BYTES]);
void parcel_seal_reply(struct buf *out, const struct parcel_secret *secret,
                       const uint8_t request_proof[PARCEL_PROOF_BYTES]);

/* ---- reading */
struct parcel {
    char edge_key[CURVE_Z85_BYTES];
    uint8_t link[PARCEL_LINK_BYTES], proof[PARCEL_PROOF_BYTES];
    struct slice frames; /* parcel_next takes them out; well formed as a list, each frame unread */
    size_t count;
};

/* Slices point into body. ERR_INVALID, ERR_LIMIT (frames, or one's length), ERR_VERSION. */
MUST_CHECK int parcel_open(struct slice body, struct parcel *out);
/* ERR_DENIED: made with other keys, for another API key, or altered. */
MUST_CHECK int parcel_check(const struct parcel *parcel, const struct parcel_secret *secret,
                            struct slice api_key);
/* *frames as in struct parcel. ERR_INVALID, ERR_LIMIT, ERR_VERSION; ERR_DENIED: not the answer to this. */
MUST_CHECK int parcel_open_reply(struct slice body, const struct parcel_secret *secret,
                                 const uint8_t request_proof[PARCEL_PROOF_BYTES], struct slice *frames);
/* False at the end. */
bool parcel_next(struct slice *frames, struct slice *frame);

#endif
