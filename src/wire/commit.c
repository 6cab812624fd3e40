/* SPDX-License-Identifier: Apache-2.0
 *
 * commit: the hub's journal record for one batch (batch.h): a version byte, what the session knows, then the
 * body as it came.
 */
#include "batch.h"
#include "bytes.h"

bool batch_edge_valid(struct slice edge)
{
    if (edge.n == 0 || edge.n > BATCH_EDGE_BYTES)
        return false;
    for (size_t i = 0; i < edge.n; i++) {
        char c = edge.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '-' && c != '_')
            return false;
    }
    return true;
}

int commit_encode(const struct commit *commit, struct buf *out)
{
    if (!batch_edge_valid(commit->edge))
        return ERR_INVALID;
    struct bytes_writer w = {.out = out};
    bytes_put_u8(&w, COMMIT_VERSION_SENT);
    bytes_put_u32(&w, commit->tenant);
    bytes_put_u8(&w, (uint8_t)commit->edge.n);
    bytes_put(&w, commit->edge.p, commit->edge.n);
    bytes_put(&w, commit->epoch.b, sizeof commit->epoch.b);
    bytes_put_u64(&w, commit->first_seq);
    bytes_put_u32(&w, commit->count);
    bytes_put_u64(&w, commit->hash);
    bytes_put_i64(&w, commit->hub_ts);
    bytes_put_i64(&w, commit->clock_offset_us);
    bytes_put(&w, commit->peer.b, sizeof commit->peer.b);
    bytes_put(&w, commit->body.p, commit->body.n);
    return w.rc;
}

int commit_decode(struct slice bytes, struct commit *out)
{
    struct bytes_reader r = {.rest = bytes};
    uint8_t version = bytes_get_u8(&r);
    if (version != COMMIT_VERSION_SENT && version != COMMIT_VERSION_ERASED)
        return r.failed ? ERR_CORRUPT : ERR_VERSION;
    out->erased = version == COMMIT_VERSION_ERASED;
    out->tenant = bytes_get_u32(&r);
    out->edge = bytes_get(&r, bytes_get_u8(&r));
    bytes_get_into(&r, out->epoch.b, sizeof out->epoch.b);
    out->first_seq = bytes_get_u64(&r);
    out->count = bytes_get_u32(&r);
    out->hash = bytes_get_u64(&r);
    out->hub_ts = bytes_get_i64(&r);
    out->clock_offset_us = bytes_get_i64(&r);
    bytes_get_into(&r, out->peer.b, sizeof out->peer.b);
    out->body = r.rest;
    bool sane = !r.failed && batch_edge_valid(out->edge) && out->body.n > 0 &&
                out->body.n <= BATCH_ZSTD_BYTES && out->first_seq > 0 && out->count > 0 &&
                out->count <= BATCH_RECORDS && out->first_seq <= UINT64_MAX - out->count;
    return sane ? 0 : ERR_CORRUPT;
}
