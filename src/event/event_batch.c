/* SPDX-License-Identifier: Apache-2.0
 *
 * event_batch: rows and the bytes of their texts, in two blocks of fixed size.
 */
#include "event_batch.h"

#include <assert.h>
#include <stdlib.h>

int event_batch_create(struct event_batch **out, size_t max_rows, size_t max_text_bytes)
{
    if (max_rows == 0 || max_rows > SIZE_MAX / sizeof(struct event))
        return ERR_LIMIT;
    struct event_batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL)
        return ERR_NO_MEMORY;
    batch->max_rows = max_rows;
    batch->max_text_bytes = max_text_bytes > EVENT_TEXT_BYTES ? max_text_bytes : EVENT_TEXT_BYTES;
    batch->rows = malloc(max_rows * sizeof *batch->rows);
    batch->text = malloc(batch->max_text_bytes);
    *out = batch;
    if (batch->rows != NULL && batch->text != NULL)
        return 0;
    event_batch_destroy(out);
    return ERR_NO_MEMORY;
}

void event_batch_destroy(struct event_batch **batch)
{
    if (*batch == NULL)
        return;
    free((*batch)->rows);
    free((*batch)->text);
    free(*batch);
    *batch = NULL;
}

void event_batch_clear(struct event_batch *batch)
{
    batch->count = 0;
    batch->text_bytes = 0;
    batch->text_before_last = 0;
}

size_t event_batch_count(const struct event_batch *batch)
{
    return batch->count;
}

struct event *event_batch_rows(struct event_batch *batch)
{
    return batch->rows;
}

void event_batch_pop(struct event_batch *batch)
{
    assert(batch->count > 0);
    batch->count--;
    batch->text_bytes = batch->text_before_last;
}

char *event_batch_text_room(struct event_batch *batch, size_t n)
{
    return n <= batch->max_text_bytes - batch->text_bytes ? batch->text + batch->text_bytes : NULL;
}

struct slice event_batch_text_take(struct event_batch *batch, size_t n)
{
    assert(n <= batch->max_text_bytes - batch->text_bytes);
    struct slice taken = {batch->text + batch->text_bytes, n};
    batch->text_bytes += n;
    return taken;
}

/* True when no byte is NUL or beyond ASCII: nearly every text of a request, so eight bytes at a time. */
static bool is_plain(struct slice s)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = UINT64_C(0x8080808080808080);
    uint64_t bytes;
    for (; s.n >= sizeof bytes; s.p += sizeof bytes, s.n -= sizeof bytes) {
        memcpy(&bytes, s.p, sizeof bytes);
        if ((((bytes - ones) | bytes) & highs) != 0)
            return false;
    }
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= 0 || (s.p[i] & 0x80) != 0)
            return false;
    return true;
}

int event_batch_text(struct event_batch *batch, struct slice text, struct slice *out, bool *escaped)
{
    *out = (struct slice){NULL, 0};
    if (text.n == 0)
        return 0;
    bool whole = is_plain(text) || text_is_utf8(text);
    char *room = event_batch_text_room(batch, whole ? text.n : TEXT_ESCAPED_MAX(text.n));
    if (room == NULL)
        return ERR_LIMIT;
    size_t n = text.n;
    if (whole)
        memcpy(room, text.p, n);
    else
        n = text_escape_invalid(text, room);
    *out = event_batch_text_take(batch, n);
    *escaped |= !whole;
    return 0;
}
