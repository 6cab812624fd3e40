/* SPDX-License-Identifier: Apache-2.0
 *
 * event: the noun that flows. One policy request, parsed, with its identity and what was derived from it;
 * columns.def is the one table of its fields. Plain data. Texts are slices into the batch's arena, already
 * checked UTF-8. event_from_request fills identity and the "postfix" columns; the rooms behind fill the
 * derived ones: classify (direction, rule_version), consolidate (first_of_message, retry_of, recipients,
 * direction of later stages).
 */
#ifndef EVENT_EVENT_H
#define EVENT_EVENT_H

#include "base/ip.h"
#include "policy/policy.h"

#define EVENT_STAGES(X)                                                                                      \
    X(OTHER, "OTHER")                                                                                        \
    X(CONNECT, "CONNECT")                                                                                    \
    X(HELO, "HELO")                                                                                          \
    X(EHLO, "EHLO")                                                                                          \
    X(MAIL, "MAIL")                                                                                          \
    X(RCPT, "RCPT") X(DATA, "DATA") X(END_OF_MESSAGE, "END-OF-MESSAGE") X(VRFY, "VRFY") X(ETRN, "ETRN")
#define EVENT_DIRECTIONS(X)                                                                                  \
    X(ABSENT, "") X(IN, "in") X(OUT, "out") X(INTERNAL, "internal") X(RELAY, "relay") X(UNKNOWN, "unknown")

#define X(name, text) STAGE_##name,
enum stage { EVENT_STAGES(X) STAGE_COUNT };
#undef X
#define X(name, text) DIRECTION_##name,
enum direction { EVENT_DIRECTIONS(X) DIRECTION_COUNT };
#undef X

struct id128 {
    uint8_t b[16];
};

typedef uint8_t event_u8;
typedef uint16_t event_u16;
typedef uint32_t event_u32;
typedef uint64_t event_u64;
typedef bool event_bool;
typedef int64_t event_ts;
typedef struct slice event_text;
typedef struct ip event_ip;
typedef struct id128 event_id128;
typedef uint8_t event_direction; /* enum direction */
typedef uint8_t event_stage;     /* enum stage */

#define EVENT_CTYPE_U8        event_u8
#define EVENT_CTYPE_U16       event_u16
#define EVENT_CTYPE_U32       event_u32
#define EVENT_CTYPE_U64       event_u64
#define EVENT_CTYPE_BOOL      event_bool
#define EVENT_CTYPE_TS        event_ts
#define EVENT_CTYPE_TEXT      event_text
#define EVENT_CTYPE_IP        event_ip
#define EVENT_CTYPE_ID128     event_id128
#define EVENT_CTYPE_DIRECTION event_direction
#define EVENT_CTYPE_STAGE     event_stage

struct event {
#define COLUMN(name, type, absent, source, doc) EVENT_CTYPE_##type name;
#include "columns.def"
#undef COLUMN
};

enum column {
#define COLUMN(name, type, absent, source, doc) COLUMN_##name,
#include "columns.def"
#undef COLUMN
    COLUMN_COUNT, /* of those that struct event has; no column itself */
#define DERIVED(name, type, absent, of, doc) COLUMN_##name,
#include "derived.def"
#undef DERIVED
    COLUMN_END
};

enum column_type {
    TYPE_U8,
    TYPE_U16,
    TYPE_U32,
    TYPE_U64,
    TYPE_BOOL,
    TYPE_TS,
    TYPE_TEXT,
    TYPE_IP,
    TYPE_ID128,
    TYPE_DIRECTION,
    TYPE_STAGE,
    TYPE_NETWORK /* derived only */
};

struct column_info {
    const char *name;
    enum column_type type;
    bool nullable;
    const char *source, *doc;
    size_t offset;  /* of the field in struct event; of a derived column: of what it is made of */
    enum column of; /* what a derived column is made of; of the others itself */
};

extern const struct column_info event_columns[COLUMN_END];

/* The column of that name, a derived one too, or ERR_NOT_FOUND. */
MUST_CHECK int event_column(struct slice name, enum column *out);
static inline bool event_column_is(unsigned column) /* is there one of that number? */
{
    return column < COLUMN_END && column != COLUMN_COUNT;
}
static inline bool event_column_is_derived(enum column column)
{
    return column > COLUMN_COUNT;
}
const char *event_stage_name(enum stage stage);             /* static */
const char *event_direction_name(enum direction direction); /* static */
MUST_CHECK int event_direction_parse(struct slice name, enum direction *out);
MUST_CHECK int event_stage_parse(struct slice name,
                                 enum stage *out); /* ERR_NOT_FOUND for what is not in the table */

enum {
    EVENT_EDGE_BYTES = 255, /* of an edge's id, at most */
    EVENT_EXTRA_BYTES = 64 * 1024,
    /* What the texts of one event need at most, whatever the request holds: escaped values, two lowered
     * domains, the edge's id, extra. */
    EVENT_TEXT_BYTES = TEXT_ESCAPED_MAX(3 * POLICY_REQUEST_BYTES) + EVENT_EXTRA_BYTES,
};
#define EVENT_TS_MAX                                                                                         \
    INT64_C(253402300799999999)         /* the end of the year 9999; times are held within 0 and this */
#define EVENT_CLOCK_US INT64_C(2000000) /* an edge's clock off by more is corrected */

/* Events in order, with the bytes their texts point to. One thread at a time. max_text_bytes below
 * EVENT_TEXT_BYTES is raised to it, so that an empty batch takes any event. ERR_LIMIT (max_rows),
 * ERR_NO_MEMORY. */
struct event_batch;
MUST_CHECK int event_batch_create(struct event_batch **out, size_t max_rows, size_t max_text_bytes);
void event_batch_destroy(struct event_batch **batch);
void event_batch_clear(struct event_batch *batch);
size_t event_batch_count(const struct event_batch *batch);
struct event *event_batch_rows(struct event_batch *batch);
void event_batch_pop(struct event_batch *batch); /* takes the last row off again; there is one */

/* Copies text into the batch's arena, bytes that are not UTF-8 as \xNN (then *escaped is set). ERR_LIMIT:
 * full. */
MUST_CHECK int event_batch_text(struct event_batch *batch, struct slice text, struct slice *out,
                                bool *escaped);

/* What the edge and the session say of a request. */
struct event_origin {
    uint32_t tenant;
    struct slice edge; /* at most EVENT_EDGE_BYTES */
    struct id128 epoch;
    uint64_t seq;
    int64_t edge_ts;
    int64_t hub_ts;
    int64_t clock_offset_us; /* edge's clock minus hub's, measured when the batch was sent; beyond ±2 s ts is
                                corrected: ts = edge_ts - clock_offset_us */
};

/* Appends one event made of origin and request; derived columns that need no other event are filled (ts,
 * stage, message_id, sender_domain, recipient_domain, extra, text_escaped). *out points into the batch.
 * ERR_LIMIT: the batch is full, flush it and call again. Never fails for what the request contains. */
MUST_CHECK int event_from_request(struct event_batch *batch, const struct event_origin *origin,
                                  const struct policy_request *request, struct event **out);

/* message_id: XXH3-128 of tenant (u32, little endian), edge, NUL, instance; without an instance, of tenant,
 * edge, NUL, epoch and seq (a message of its own). */
struct id128 event_message_id(const struct event_origin *origin, struct slice instance);

#endif
