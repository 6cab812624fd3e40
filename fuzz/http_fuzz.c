/* SPDX-License-Identifier: Apache-2.0
 *
 * http_fuzz: a request's head and a chunked body come to the same however the bytes are cut, and what is
 * taken of a head lies within it; no list of codings chooses one that there isn't.
 */
#include "fuzz.h"
#include "http/accept_encoding.h"
#include "http/chunked.h"
#include "http/request_head.h"
#include "http/site.h"

#include <stdlib.h>

static bool head_reached, chunks_reached;

static void check_head(struct slice bytes)
{
    struct http_head head;
    const char *why = NULL;
    size_t scanned = 0, dripped = 0;
    size_t end = http_head_end(bytes, &scanned);
    if (http_head_end((struct slice){bytes.p, bytes.n / 2}, &dripped) == 0 &&
        http_head_end(bytes, &dripped) != end)
        abort();
    if (end == 0 || end > bytes.n)
        return;
    int status = http_head_parse((struct slice){bytes.p, end}, &head, &why);
    if ((status != 0) != (why != NULL))
        abort();
    head_reached = head_reached || status == 0;
    if (status == 0 && (head.path.p[0] != '/' || head.path.p < bytes.p || head.target.n > end))
        abort();
}

/* No list makes it choose what there isn't. */
static void check_codings(struct slice bytes)
{
    for (unsigned available = 0; available < 4; available++) {
        enum http_coding chosen = http_choose_coding(bytes, available);
        if (chosen != HTTP_IDENTITY && ((unsigned)chosen & available) == 0)
            abort();
    }
}

static int decode(struct slice bytes, size_t cut, size_t *used, struct buf *body)
{
    struct http_chunked chunked = {0};
    int rc = http_chunked_decode(&chunked, (struct slice){bytes.p, cut}, used, body);
    size_t first = *used;
    if (rc == ERR_MORE) {
        rc = http_chunked_decode(&chunked, (struct slice){bytes.p + cut, bytes.n - cut}, used, body);
        *used += first;
    }
    return rc;
}

static void check_chunks(struct slice bytes)
{
    struct buf whole = {.limit = 4096}, halves = {.limit = 4096};
    size_t used = 0, again = 0;
    int rc = decode(bytes, 0, &used, &whole);
    if (decode(bytes, bytes.n / 2, &again, &halves) != rc || used > bytes.n)
        abort();
    chunks_reached = chunks_reached || (rc == 0 && whole.n > 0);
    if (rc == 0 && (used != again || !slice_equal(buf_slice(&whole), buf_slice(&halves))))
        abort();
    buf_fini(&whole);
    buf_fini(&halves);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice bytes = {(const char *)data, n};
    if (n == 0)
        return 0;
    check_head(bytes);
    check_chunks(bytes);
    check_codings(bytes);
    (void)site_is_hashed(bytes);
    return 0;
}

const char *fuzz_unreached(void)
{
    return !head_reached ? "a whole head" : !chunks_reached ? "a whole body in chunks" : NULL;
}
