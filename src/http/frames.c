/* SPDX-License-Identifier: Apache-2.0
 *
 * frames: see frames.h. libwslay's event API pulls what it reads out of `in` and pushes what it writes into
 * `out`.
 */
#include "frames.h"

#include <assert.h>
#include <stdlib.h>
#include <wslay/wslay.h>

struct frames {
    wslay_event_context_ptr wslay;
    void (*text)(void *arg, struct slice text);
    void *arg;
    struct slice in; /* while it is fed */
    struct buf out;
    unsigned count; /* of the message that is coming */
    bool feeding;
};

/* ---- what libwslay asks for ---------------------------------------------------------------------- */

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *to, size_t n, int flags, void *arg)
{
    struct frames *frames = arg;
    (void)flags;
    if (frames->in.n == 0) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    n = n < frames->in.n ? n : frames->in.n;
    memcpy(to, frames->in.p, n);
    frames->in = (struct slice){frames->in.p + n, frames->in.n - n};
    return (ssize_t)n;
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *bytes, size_t n, int flags, void *arg)
{
    struct frames *frames = arg;
    (void)flags;
    if (buf_add(&frames->out, bytes, n) == 0)
        return (ssize_t)n;
    wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static void refuse(struct frames *frames, enum wslay_status_code code, const char *why)
{
    (void)wslay_event_queue_close(frames->wslay, (uint16_t)code, (const uint8_t *)why, strlen(why));
    wslay_event_shutdown_read(frames->wslay);
}

static void on_frame(wslay_event_context_ptr ctx, const struct wslay_event_on_frame_recv_start_arg *frame,
                     void *arg)
{
    struct frames *frames = arg;
    (void)ctx;
    if (!wslay_is_ctrl_frame(frame->opcode) && ++frames->count > FRAMES_OF_MESSAGE)
        refuse(frames, WSLAY_CODE_POLICY_VIOLATION, "a message has too many frames");
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *message,
                       void *arg)
{
    struct frames *frames = arg;
    (void)ctx;
    if (wslay_is_ctrl_frame(message->opcode))
        return;
    frames->count = 0;
    if (message->opcode != WSLAY_TEXT_FRAME)
        refuse(frames, WSLAY_CODE_UNSUPPORTED_DATA, "messages are text");
    else if (!frames_closed(frames))
        frames->text(frames->arg, (struct slice){(const char *)message->msg, message->msg_length});
}

/* ---- its life ------------------------------------------------------------------------------------ */

int frames_create(struct frames **out, size_t out_bytes, void (*text)(void *arg, struct slice text),
                  void *arg)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_recv,
        .send_callback = on_send,
        .on_frame_recv_start_callback = on_frame,
        .on_msg_recv_callback = on_message,
    };
    struct frames *frames = calloc(1, sizeof *frames);
    if (frames == NULL || wslay_event_context_server_init(&frames->wslay, &callbacks, frames) != 0) {
        free(frames);
        return ERR_NO_MEMORY;
    }
    wslay_event_config_set_max_recv_msg_length(frames->wslay, FRAMES_MESSAGE_BYTES);
    frames->text = text;
    frames->arg = arg;
    buf_init(&frames->out, out_bytes);
    *out = frames;
    return 0;
}

void frames_destroy(struct frames **frames)
{
    struct frames *self = *frames;
    *frames = NULL;
    if (self == NULL)
        return;
    wslay_event_context_free(self->wslay);
    buf_fini(&self->out);
    free(self);
}

/* What was queued goes out; while it is fed, behind that. */
static int flush(struct frames *frames)
{
    int rc = frames->feeding ? 0 : wslay_event_send(frames->wslay);
    return rc == 0 ? 0 : rc == WSLAY_ERR_NOMEM ? ERR_NO_MEMORY : ERR_LIMIT;
}

int frames_feed(struct frames *frames, struct slice bytes)
{
    assert(bytes.n <= FRAMES_FEED_BYTES);
    frames->in = bytes;
    frames->feeding = true;
    int rc = frames_wants_more(frames) ? wslay_event_recv(frames->wslay) : 0;
    frames->feeding = false;
    /* Any other mistake is the peer's: a close was queued, and nothing more is read. */
    return rc == WSLAY_ERR_NOMEM ? ERR_NO_MEMORY : flush(frames);
}

bool frames_wants_more(const struct frames *frames)
{
    return wslay_event_want_read(frames->wslay) != 0;
}

/* ---- what is said -------------------------------------------------------------------------------- */

static int queue(struct frames *frames, uint8_t opcode, struct slice bytes)
{
    struct wslay_event_msg message = {
        .opcode = opcode, .msg = (const uint8_t *)bytes.p, .msg_length = bytes.n};
    int rc = wslay_event_queue_msg(frames->wslay, &message);
    if (rc != 0)
        return rc == WSLAY_ERR_NO_MORE_MSG ? ERR_CANCELLED : ERR_NO_MEMORY;
    return flush(frames);
}

int frames_say(struct frames *frames, struct slice text)
{
    return queue(frames, WSLAY_TEXT_FRAME, text);
}

int frames_ping(struct frames *frames)
{
    return queue(frames, WSLAY_PING, (struct slice){NULL, 0});
}

int frames_close(struct frames *frames, unsigned code, const char *why)
{
    int rc = wslay_event_queue_close(frames->wslay, (uint16_t)code, (const uint8_t *)why, strlen(why));
    return rc == WSLAY_ERR_NOMEM ? ERR_NO_MEMORY : flush(frames);
}

bool frames_closed(const struct frames *frames)
{
    return wslay_event_get_close_sent(frames->wslay) != 0 ||
           wslay_event_get_write_enabled(frames->wslay) == 0;
}

size_t frames_waiting(const struct frames *frames)
{
    /* What was queued behind a close is never sent. */
    size_t queued = frames_closed(frames) ? 0 : wslay_event_get_queued_msg_length(frames->wslay);
    return queued + frames->out.n;
}

void frames_take(struct frames *frames, struct buf *empty)
{
    struct buf out = frames->out;
    frames->out = *empty;
    *empty = out;
}
