/* SPDX-License-Identifier: Apache-2.0
 *
 * frame: what edge and hub say to each other, as bytes and as structs; pure. One frame is one ZeroMQ message
 * part, or one HTTPS body. Little endian; byte 0 is the type, byte 1 the protocol version; every length is
 * bounded, and bytes behind the last field are refused.
 *
 *   edge → hub   HELLO, BATCH, STATUS, BYE           hub → edge   WELCOME, REFUSE, ACK, SEEN
 *
 * Each HELLO carries a greeting number of the edge's choice, rising; all frames of the session that it opens
 * carry the same, so that a late answer to an earlier greeting is recognised and a batch of a session that is
 * over is never taken for one of the next (it could look like a gap). docs/reference/wire.md has the layouts.
 */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include "batch.h"

enum {
    FRAME_VERSION = 1,
    FRAME_KEY_BYTES = 128, /* an API key's text */
    FRAME_HOST_BYTES = 128,
    FRAME_SOFTWARE_BYTES = 64,
    FRAME_REASON_BYTES = 200,
    FRAME_EPOCHS = 256,                           /* named in one HELLO or WELCOME */
    FRAME_BYTES = BATCH_ZSTD_BYTES + 1024,        /* the longest frame: a BATCH */
    FRAME_SMALL_BYTES = 2048 + FRAME_EPOCHS * 24, /* the longest of all others */
    FRAME_HELLO_PROBE = 1,                        /* flag: answer, but leave the live session alone */
};

#define FRAME_TYPES(X)                                                                                       \
    X(1, HELLO) X(2, WELCOME) X(3, REFUSE) X(4, BATCH) X(5, ACK) X(6, STATUS) X(7, SEEN) X(8, BYE)
#define X(number, name) FRAME_##name = (number),
enum frame_type { FRAME_TYPES(X) };
#undef X

enum refusal {
#define REFUSAL(number, NAME, name, greet, text) REFUSAL_##NAME = (number),
#include "refusals.def"
#undef REFUSAL
};

/* How an edge is doing; shown at the hub. Counters since the edge's start unless said otherwise. */
#define FRAME_FIGURES(X)                                                                                     \
    X(depth)              /* records in the spool that the hub has not acked */                              \
    X(spool_bytes)        /* on disk */                                                                      \
    X(dropped)            /* by the spool's size bound, ever */                                              \
    X(quarantined)        /* damaged stretches, ever */                                                      \
    X(answered_unwritten) /* kept in memory only, now */                                                     \
    X(lost)               /* answered and never kept, as the memory was full too */                          \
    X(lag_us)             /* age of the oldest record not acked */                                           \
    X(answers)            /* to Postfix */                                                                   \
    X(latency_p99_us)     /* of the answers */
struct frame_figures {
#define X(name) uint64_t name;
    FRAME_FIGURES(X)
#undef X
};

struct frame_hello {
    uint32_t greeting;
    uint8_t flags;
    struct slice api_key, edge, host, software;
    struct epoch present; /* the epoch of the running process; all zeros in a probe */
    int64_t clock_us;     /* the edge's */
    struct frame_figures figures;
    uint16_t epoch_count;
    struct epoch epochs[FRAME_EPOCHS]; /* held in the spool, as far as known */
};

struct frame_progress {
    struct epoch epoch;
    uint64_t last_seq; /* journalled with fdatasync; 0: nothing */
};

struct frame_welcome {
    uint32_t greeting;
    uint32_t tenant;
    uint64_t config_revision;
    int64_t clock_us; /* the hub's */
    uint32_t window;  /* batches in flight at most */
    uint32_t batch_bytes, batch_records;
    uint16_t progress_count;
    struct frame_progress progress[FRAME_EPOCHS]; /* of each epoch that HELLO named */
};

struct frame_refuse {
    uint32_t greeting; /* of the frame that is answered, 0 when it could not be read */
    enum refusal code;
    struct slice reason; /* printable, one line */
};

struct frame_batch {
    uint32_t greeting;
    struct epoch epoch;
    uint64_t first_seq;
    uint32_t count;
    uint64_t hash;
    int64_t clock_us;        /* the edge's, as the frame was made */
    int64_t clock_offset_us; /* the edge's clock minus the hub's, as the edge measured it */
    struct slice body;
};

struct frame_ack {
    uint32_t greeting;
    struct frame_progress progress;
};

struct frame_status {
    uint32_t greeting;
    int64_t clock_us;
    struct frame_figures figures;
};

struct frame_seen {
    uint32_t greeting;
    int64_t clock_us; /* the hub's */
};

struct frame {
    enum frame_type type;
    union {
        struct frame_hello hello;
        struct frame_welcome welcome;
        struct frame_refuse refuse;
        struct frame_batch batch;
        struct frame_ack ack;
        struct frame_status status;
        struct frame_seen seen;
        struct {
            uint32_t greeting;
        } bye;
    };
};

/* Appends one frame to out. ERR_LIMIT (a field or out's limit), ERR_INVALID (no such type), ERR_NO_MEMORY. */
MUST_CHECK int frame_encode(const struct frame *frame, struct buf *out);

/* Slices point into bytes. Whatever it accepts, frame_encode turns into the same bytes. ERR_INVALID,
 * ERR_LIMIT (a field is longer than allowed), ERR_VERSION. A batch's body is left for batch_reader_open. */
MUST_CHECK int frame_decode(struct slice bytes, struct frame *out);

const char *frame_type_name(enum frame_type type); /* static; "?" when unknown */
const char *frame_refusal_name(enum refusal code); /* static; "?" when unknown */
const char *frame_refusal_text(enum refusal code); /* what to do; static */
bool frame_refusal_greets_now(enum refusal code);

#endif
