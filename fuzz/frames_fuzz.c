/* SPDX-License-Identifier: Apache-2.0
 *
 * frames_fuzz: what a client sends over a WebSocket comes to the same messages and the same answers however
 * the bytes are cut, and to no more of them than the bytes can hold. But for a close: it overtakes pongs, and
 * is said as soon as what has come of a frame can't be right.
 */
#include "fuzz.h"
#include "http/frames.h"

#include <stdlib.h>

enum { OUT_BYTES = 1024 * 1024 };

static bool text_reached, pong_reached, close_reached;

struct heard {
    struct buf texts;
    size_t count;
    bool closed;
};

static void on_text(void *arg, struct slice text)
{
    struct heard *heard = arg;
    if (!text_is_utf8(text) && (text.n == 0 || memchr(text.p, '\0', text.n) == NULL))
        abort(); /* but for NUL, which UTF-8 has and our texts don't */
    if (text.n > FRAMES_MESSAGE_BYTES || buf_add_slice(&heard->texts, text) != 0)
        abort();
    heard->count++;
}

static void listen_to(struct slice bytes, size_t cut, struct heard *heard, struct buf *out)
{
    struct frames *frames;
    if (frames_create(&frames, OUT_BYTES, on_text, heard) != 0)
        abort();
    while (bytes.n > 0) {
        size_t n = bytes.n < cut ? bytes.n : cut;
        if (frames_feed(frames, (struct slice){bytes.p, n}) != 0)
            abort();
        bytes = (struct slice){bytes.p + n, bytes.n - n};
    }
    heard->closed = frames_closed(frames);
    close_reached = close_reached || heard->closed;
    frames_take(frames, out);
    frames_destroy(&frames);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice bytes = {(const char *)data, n};
    struct heard whole = {.texts = {.limit = n + 1}}, crumbs = {.texts = {.limit = n + 1}};
    struct buf said = {.limit = OUT_BYTES}, said_to_crumbs = {.limit = OUT_BYTES};
    listen_to(bytes, FRAMES_FEED_BYTES, &whole, &said);
    listen_to(bytes, n % 7 + 1, &crumbs, &said_to_crumbs);
    if (whole.count != crumbs.count || !slice_equal(buf_slice(&whole.texts), buf_slice(&crumbs.texts)) ||
        said.n > n + 256 ||
        (!whole.closed && !crumbs.closed && !slice_equal(buf_slice(&said), buf_slice(&said_to_crumbs))))
        abort();
    text_reached = text_reached || whole.texts.n > 0;
    pong_reached = pong_reached || (said.n > 0 && (said.p[0] & 0xf) == 0xa);
    buf_fini(&whole.texts);
    buf_fini(&crumbs.texts);
    buf_fini(&said);
    buf_fini(&said_to_crumbs);
    return 0;
}

const char *fuzz_unreached(void)
{
    return !text_reached ? "a message" : !pong_reached ? "a pong" : !close_reached ? "a close" : NULL;
}
