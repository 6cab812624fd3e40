/* SPDX-License-Identifier: Apache-2.0
 *
 * erase: see erase.h.
 */
#include "erase.h"

#include "bytes.h"

#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { RECORD_HEAD_BYTES = 16 };

struct batch_eraser {
    struct batch_reader *reader;
    ZSTD_CCtx *zstd;
    struct buf records, frame;
    struct batch_erased count;
    bool everything; /* nothing is kept */
    int64_t last_ts; /* of the record before */
};

int batch_eraser_create(struct batch_eraser **out)
{
    struct batch_eraser *e = calloc(1, sizeof *e);
    if (e == NULL)
        return ERR_NO_MEMORY;
    buf_init(&e->records, BATCH_BODY_BYTES);
    buf_init(&e->frame, BATCH_ZSTD_BYTES);
    e->zstd = ZSTD_createCCtx();
    if (e->zstd == NULL || batch_reader_create(&e->reader) != 0 ||
        buf_reserve(&e->frame, BATCH_ZSTD_BYTES) != 0) {
        batch_eraser_destroy(&e);
        return ERR_NO_MEMORY;
    }
    *out = e;
    return 0;
}

void batch_eraser_destroy(struct batch_eraser **eraser)
{
    struct batch_eraser *e = *eraser;
    if (e == NULL)
        return;
    batch_reader_destroy(&e->reader);
    ZSTD_freeCCtx(e->zstd);
    buf_fini(&e->records);
    buf_fini(&e->frame);
    free(e);
    *eraser = NULL;
}

static int put_record(struct batch_eraser *e, const struct batch_record *record, bool erased)
{
    struct bytes_writer w = {.out = &e->records};
    int rc = buf_reserve(&e->records, RECORD_HEAD_BYTES + record->payload.n);
    if (rc != 0)
        return rc;
    bytes_put_u32(&w, erased ? 0 : (uint32_t)record->payload.n);
    bytes_put_u16(&w, erased ? RECORD_ERASED : record->kind);
    bytes_put_u16(&w, 0);
    bytes_put_i64(&w, erased ? e->last_ts : record->ts_us);
    if (!erased) {
        bytes_put(&w, record->payload.p, record->payload.n);
        e->last_ts = record->ts_us;
    }
    return w.rc;
}

static int open_body(struct batch_eraser *e, const struct commit *commit, struct err *err)
{
    return commit->erased
               ? batch_reader_open_erased(e->reader, commit->body, commit->first_seq, commit->count, err)
               : batch_reader_open(e->reader, commit->body, commit->first_seq, commit->count, commit->hash,
                                   err);
}

/* The records as they are to be. */
static int collect(struct batch_eraser *e, const struct commit *commit, batch_match match, void *arg,
                   struct err *err)
{
    struct batch_record record;
    int rc = open_body(e, commit, err);
    buf_clear(&e->records);
    e->count = (struct batch_erased){0, 0};
    e->last_ts = 0;
    while (rc == 0 && batch_reader_next(e->reader, &record)) {
        bool before = record.kind == RECORD_ERASED;
        int matches = before ? 1 : match(arg, commit, &record);
        if (matches != 0 && matches != 1)
            return matches;
        e->count.records += matches == 1 && !before;
        e->count.lost += matches == 0 && e->everything;
        rc = put_record(e, &record, matches == 1 || e->everything);
        if (rc != 0)
            return err_set(err, rc, "a batch can't be written anew: %s", err_text(rc));
    }
    return rc;
}

/* Into e->frame, within `room` bytes. ERR_FULL: no level is hard enough. */
static int compress(struct batch_eraser *e, size_t room, struct err *err)
{
    static const int levels[] = {3, 9, 15, 19, 22};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        (void)ZSTD_CCtx_reset(e->zstd, ZSTD_reset_session_and_parameters);
        (void)ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_compressionLevel, levels[i]);
        size_t n = ZSTD_compress2(e->zstd, e->frame.p, e->frame.capacity, e->records.p, e->records.n);
        if (!ZSTD_isError(n) && n <= room) {
            e->frame.n = n;
            return 0;
        }
        if (ZSTD_isError(n) && ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
            return err_set(err, ERR_NO_MEMORY, "a batch can't be compressed: out of memory");
    }
    return err_set(err, ERR_FULL, "a batch gets longer when records leave it");
}

int batch_erase(struct batch_eraser *e, uint8_t *bytes, size_t n, batch_match match, void *arg,
                struct batch_erased *out, struct err *err)
{
    struct commit commit;
    *out = (struct batch_erased){0, 0};
    int rc = commit_decode((struct slice){(const char *)bytes, n}, &commit);
    if (rc != 0)
        return err_set(err, rc, "a commit can't be read: %s", err_text(rc));
    e->everything = false;
    rc = collect(e, &commit, match, arg, err);
    if (rc != 0 || e->count.records == 0)
        return rc;
    rc = compress(e, commit.body.n, err);
    if (rc == ERR_FULL) { /* what survives is in the store; only a rebuild would miss it */
        e->everything = true;
        rc = collect(e, &commit, match, arg, err);
        if (rc == 0)
            rc = compress(e, commit.body.n, err);
    }
    if (rc != 0)
        return rc;
    uint8_t *body = bytes + (n - commit.body.n);
    bytes[0] = COMMIT_VERSION_ERASED;
    memcpy(body, e->frame.p, e->frame.n);
    memset(body + e->frame.n, 0, commit.body.n - e->frame.n);
    *out = e->count;
    return 0;
}
