/* SPDX-License-Identifier: Apache-2.0
 *
 * frame: see frame.h. Each type has a put and a get that read like its layout; one table joins them.
 */
#include "frame.h"
#include "bytes.h"

/* ---- fields ---------------------------------------------------------------------------------- */

static void put_text(struct bytes_writer *w, struct slice text, size_t max)
{
    if (text.n > max && w->rc == 0)
        w->rc = ERR_LIMIT;
    bytes_put_u8(w, (uint8_t)text.n);
    bytes_put(w, text.p, text.n);
}

/* *rc is set to ERR_LIMIT once a length is over its maximum. */
static struct slice get_text(struct bytes_reader *r, size_t max, int *rc)
{
    size_t n = bytes_get_u8(r);
    if (n > max)
        *rc = ERR_LIMIT;
    return bytes_get(r, n);
}

static void put_epoch(struct bytes_writer *w, const struct epoch *epoch)
{
    bytes_put(w, epoch->b, sizeof epoch->b);
}

static void get_epoch(struct bytes_reader *r, struct epoch *epoch)
{
    bytes_get_into(r, epoch->b, sizeof epoch->b);
}

static void put_figures(struct bytes_writer *w, const struct frame_figures *f)
{
#define X(name) bytes_put_u64(w, f->name);
    FRAME_FIGURES(X)
#undef X
}

static void get_figures(struct bytes_reader *r, struct frame_figures *f)
{
#define X(name) f->name = bytes_get_u64(r);
    FRAME_FIGURES(X)
#undef X
}

static void put_progress(struct bytes_writer *w, const struct frame_progress *progress)
{
    put_epoch(w, &progress->epoch);
    bytes_put_u64(w, progress->last_seq);
}

static void get_progress(struct bytes_reader *r, struct frame_progress *progress)
{
    get_epoch(r, &progress->epoch);
    progress->last_seq = bytes_get_u64(r);
}

/* A count of epochs, at most FRAME_EPOCHS. */
static void put_count(struct bytes_writer *w, uint16_t count)
{
    if (count > FRAME_EPOCHS && w->rc == 0)
        w->rc = ERR_LIMIT;
    bytes_put_u16(w, count);
}

static uint16_t get_count(struct bytes_reader *r, int *rc)
{
    uint16_t count = bytes_get_u16(r);
    if (count <= FRAME_EPOCHS)
        return count;
    *rc = ERR_LIMIT;
    return 0;
}

/* ---- frames ---------------------------------------------------------------------------------- */

static void put_hello(struct bytes_writer *w, const struct frame *frame)
{
    const struct frame_hello *f = &frame->hello;
    bytes_put_u32(w, f->greeting);
    bytes_put_u8(w, f->flags);
    put_text(w, f->api_key, FRAME_KEY_BYTES);
    put_text(w, f->edge, BATCH_EDGE_BYTES);
    put_text(w, f->host, FRAME_HOST_BYTES);
    put_text(w, f->software, FRAME_SOFTWARE_BYTES);
    put_epoch(w, &f->present);
    bytes_put_i64(w, f->clock_us);
    put_figures(w, &f->figures);
    put_count(w, f->epoch_count);
    for (uint16_t i = 0; w->rc == 0 && i < f->epoch_count; i++)
        put_epoch(w, &f->epochs[i]);
}

static int get_hello(struct bytes_reader *r, struct frame *frame)
{
    struct frame_hello *f = &frame->hello;
    int rc = 0;
    f->greeting = bytes_get_u32(r);
    f->flags = bytes_get_u8(r);
    f->api_key = get_text(r, FRAME_KEY_BYTES, &rc);
    f->edge = get_text(r, BATCH_EDGE_BYTES, &rc);
    f->host = get_text(r, FRAME_HOST_BYTES, &rc);
    f->software = get_text(r, FRAME_SOFTWARE_BYTES, &rc);
    get_epoch(r, &f->present);
    f->clock_us = bytes_get_i64(r);
    get_figures(r, &f->figures);
    f->epoch_count = get_count(r, &rc);
    for (uint16_t i = 0; i < f->epoch_count; i++)
        get_epoch(r, &f->epochs[i]);
    if (rc == 0 && !r->failed && !batch_edge_valid(f->edge))
        rc = ERR_INVALID;
    return rc;
}

static void put_welcome(struct bytes_writer *w, const struct frame *frame)
{
    const struct frame_welcome *f = &frame->welcome;
    bytes_put_u32(w, f->greeting);
    bytes_put_u32(w, f->tenant);
    bytes_put_u64(w, f->config_revision);
    bytes_put_i64(w, f->clock_us);
    bytes_put_u32(w, f->window);
    bytes_put_u32(w, f->batch_bytes);
    bytes_put_u32(w, f->batch_records);
    put_count(w, f->progress_count);
    for (uint16_t i = 0; w->rc == 0 && i < f->progress_count; i++)
        put_progress(w, &f->progress[i]);
}

static int get_welcome(struct bytes_reader *r, struct frame *frame)
{
    struct frame_welcome *f = &frame->welcome;
    int rc = 0;
    f->greeting = bytes_get_u32(r);
    f->tenant = bytes_get_u32(r);
    f->config_revision = bytes_get_u64(r);
    f->clock_us = bytes_get_i64(r);
    f->window = bytes_get_u32(r);
    f->batch_bytes = bytes_get_u32(r);
    f->batch_records = bytes_get_u32(r);
    f->progress_count = get_count(r, &rc);
    for (uint16_t i = 0; i < f->progress_count; i++)
        get_progress(r, &f->progress[i]);
    return rc;
}

static void put_refuse(struct bytes_writer *w, const struct frame *frame)
{
    bytes_put_u32(w, frame->refuse.greeting);
    bytes_put_u8(w, (uint8_t)frame->refuse.code);
    put_text(w, frame->refuse.reason, FRAME_REASON_BYTES);
}

static int get_refuse(struct bytes_reader *r, struct frame *frame)
{
    int rc = 0;
    frame->refuse.greeting = bytes_get_u32(r);
    frame->refuse.code = bytes_get_u8(r);
    frame->refuse.reason = get_text(r, FRAME_REASON_BYTES, &rc);
    return rc;
}

static void put_batch(struct bytes_writer *w, const struct frame *frame)
{
    const struct frame_batch *f = &frame->batch;
    if (f->body.n > BATCH_ZSTD_BYTES && w->rc == 0)
        w->rc = ERR_LIMIT;
    bytes_put_u32(w, f->greeting);
    put_epoch(w, &f->epoch);
    bytes_put_u64(w, f->first_seq);
    bytes_put_u32(w, f->count);
    bytes_put_u64(w, f->hash);
    bytes_put_i64(w, f->clock_us);
    bytes_put_i64(w, f->clock_offset_us);
    bytes_put_u32(w, (uint32_t)f->body.n);
    bytes_put(w, f->body.p, f->body.n);
}

static int get_batch(struct bytes_reader *r, struct frame *frame)
{
    struct frame_batch *f = &frame->batch;
    f->greeting = bytes_get_u32(r);
    get_epoch(r, &f->epoch);
    f->first_seq = bytes_get_u64(r);
    f->count = bytes_get_u32(r);
    f->hash = bytes_get_u64(r);
    f->clock_us = bytes_get_i64(r);
    f->clock_offset_us = bytes_get_i64(r);
    uint32_t n = bytes_get_u32(r);
    f->body = bytes_get(r, n);
    return n > BATCH_ZSTD_BYTES || f->count > BATCH_RECORDS ? ERR_LIMIT : 0;
}

static void put_ack(struct bytes_writer *w, const struct frame *frame)
{
    bytes_put_u32(w, frame->ack.greeting);
    put_progress(w, &frame->ack.progress);
}

static int get_ack(struct bytes_reader *r, struct frame *frame)
{
    frame->ack.greeting = bytes_get_u32(r);
    get_progress(r, &frame->ack.progress);
    return 0;
}

static void put_status(struct bytes_writer *w, const struct frame *frame)
{
    bytes_put_u32(w, frame->status.greeting);
    bytes_put_i64(w, frame->status.clock_us);
    put_figures(w, &frame->status.figures);
}

static int get_status(struct bytes_reader *r, struct frame *frame)
{
    frame->status.greeting = bytes_get_u32(r);
    frame->status.clock_us = bytes_get_i64(r);
    get_figures(r, &frame->status.figures);
    return 0;
}

static void put_seen(struct bytes_writer *w, const struct frame *frame)
{
    bytes_put_u32(w, frame->seen.greeting);
    bytes_put_i64(w, frame->seen.clock_us);
}

static int get_seen(struct bytes_reader *r, struct frame *frame)
{
    frame->seen.greeting = bytes_get_u32(r);
    frame->seen.clock_us = bytes_get_i64(r);
    return 0;
}

static void put_bye(struct bytes_writer *w, const struct frame *frame)
{
    bytes_put_u32(w, frame->bye.greeting);
}

static int get_bye(struct bytes_reader *r, struct frame *frame)
{
    frame->bye.greeting = bytes_get_u32(r);
    return 0;
}

/* ---- the table ------------------------------------------------------------------------------- */

struct codec {
    const char *name;
    void (*put)(struct bytes_writer *w, const struct frame *frame);
    int (*get)(struct bytes_reader *r, struct frame *frame);
};

static const struct codec codecs[] = {
    [FRAME_HELLO] = {"HELLO", put_hello, get_hello},
    [FRAME_WELCOME] = {"WELCOME", put_welcome, get_welcome},
    [FRAME_REFUSE] = {"REFUSE", put_refuse, get_refuse},
    [FRAME_BATCH] = {"BATCH", put_batch, get_batch},
    [FRAME_ACK] = {"ACK", put_ack, get_ack},
    [FRAME_STATUS] = {"STATUS", put_status, get_status},
    [FRAME_SEEN] = {"SEEN", put_seen, get_seen},
    [FRAME_BYE] = {"BYE", put_bye, get_bye},
};

static const struct codec *codec_of(unsigned type)
{
    return type < sizeof codecs / sizeof *codecs && codecs[type].put != NULL ? &codecs[type] : NULL;
}

int frame_encode(const struct frame *frame, struct buf *out)
{
    const struct codec *codec = codec_of(frame->type);
    if (codec == NULL)
        return ERR_INVALID;
    struct bytes_writer w = {.out = out};
    bytes_put_u8(&w, (uint8_t)frame->type);
    bytes_put_u8(&w, FRAME_VERSION);
    codec->put(&w, frame);
    return w.rc;
}

int frame_decode(struct slice bytes, struct frame *out)
{
    struct bytes_reader r = {.rest = bytes};
    unsigned type = bytes_get_u8(&r);
    uint8_t version = bytes_get_u8(&r);
    if (r.failed)
        return ERR_INVALID;
    if (version != FRAME_VERSION)
        return ERR_VERSION;
    const struct codec *codec = codec_of(type);
    if (codec == NULL)
        return ERR_INVALID;
    out->type = (enum frame_type)type;
    int rc = codec->get(&r, out);
    if (rc != 0)
        return rc;
    return r.failed || r.rest.n > 0 ? ERR_INVALID : 0;
}

const char *frame_type_name(enum frame_type type)
{
    const struct codec *codec = codec_of(type);
    return codec != NULL ? codec->name : "?";
}

/* ---- refusals -------------------------------------------------------------------------------- */

enum { NOW = 1, LATER = 0 };

static const struct {
    const char *name, *text;
    bool greet_now;
} refusals[] = {
#define REFUSAL(number, NAME, name, greet, text) [number] = {name, text, greet},
#include "refusals.def"
#undef REFUSAL
};

static bool refusal_known(enum refusal code)
{
    return code < sizeof refusals / sizeof *refusals && refusals[code].name != NULL;
}

const char *frame_refusal_name(enum refusal code)
{
    return refusal_known(code) ? refusals[code].name : "?";
}

const char *frame_refusal_text(enum refusal code)
{
    return refusal_known(code) ? refusals[code].text : "not known to this release: update the older side";
}

bool frame_refusal_greets_now(enum refusal code)
{
    return refusal_known(code) && refusals[code].greet_now;
}
