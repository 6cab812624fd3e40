/* SPDX-License-Identifier: Apache-2.0
 *
 * h2: the connection's side of HTTP/2: bytes to nghttp2 and from it, what its frames mean for the streams,
 * and what ends a connection that only talks. See h2.h.
 */
#include "h2.h"

#include <stdlib.h>

enum { LINGER_BYTES = 1024 * 1024, OUT_LIMIT_BYTES = 2 * H2_OUT_BYTES };

/* What may happen so often at once, and then so often a second. */
struct allowance {
    unsigned left, at_once, a_second;
    uint64_t since_ms;
};

struct h2 {
    struct connection *connection;
    nghttp2_session *session;
    struct h2_stream *streams;
    struct buf out; /* lent to channel_write */
    bool writing, inside, lingering, stopped, flooded;
    size_t lingered;
    uint64_t head_by_ms, written_by_ms, idle_by_ms; /* uv_now(); 0: not waited for */
    struct allowance talk, resets;
};

static struct h2 *h2_of(struct connection *connection)
{
    return connection->speaker;
}

nghttp2_session *h2_session(struct h2 *h2)
{
    return h2->session;
}

struct connection *h2_connection(struct h2 *h2)
{
    return h2->connection;
}

static uint64_t now_ms(const struct h2 *h2)
{
    return uv_now(h2->connection->http->loop);
}

/* ---- deadlines ---------------------------------------------------------------------------------- */

static void arm(struct h2 *h2)
{
    const uint64_t all[] = {h2->head_by_ms, h2->written_by_ms, h2->idle_by_ms};
    uint64_t next = UINT64_MAX, now = now_ms(h2);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] != 0 && all[i] < next)
            next = all[i];
    if (next == UINT64_MAX)
        ticker_stop(h2->connection->deadline);
    else
        ticker_set(h2->connection->deadline, next > now ? next - now : 0, 0);
}

static uint64_t by(const struct h2 *h2, uint64_t ms)
{
    return now_ms(h2) + ms;
}

/* ---- what is sent -------------------------------------------------------------------------------- */

/* The last frames are on their way: reads on for a while, or a reset would overtake them. */
static void linger(struct h2 *h2)
{
    h2->lingering = true;
    ticker_set(h2->connection->deadline, HTTP_LINGER_MS, 0);
    if (channel_shutdown(&h2->connection->channel) != 0)
        connection_leave(h2->connection);
    else
        connection_read(h2->connection, true);
}

static int gather(struct h2 *h2)
{
    ssize_t n = 1;
    const uint8_t *frame;
    h2->inside = true;
    while (n > 0 && h2->out.n < H2_OUT_BYTES) {
        n = nghttp2_session_mem_send(h2->session, &frame);
        if (n > 0 && buf_add(&h2->out, frame, (size_t)n) != 0)
            n = NGHTTP2_ERR_NOMEM;
    }
    h2->inside = false;
    return n < 0 ? ERR_NO_MEMORY : 0;
}

static bool is_over(const struct h2 *h2)
{
    return (h2->stopped && h2->streams == NULL) ||
           (nghttp2_session_want_read(h2->session) == 0 && nghttp2_session_want_write(h2->session) == 0);
}

void h2_flush(struct h2 *h2)
{
    struct connection *connection = h2->connection;
    if (h2->writing || h2->inside || h2->lingering || channel_is_closing(&connection->channel))
        return;
    if (gather(h2) != 0) {
        connection_leave(connection);
        return;
    }
    if (h2->out.n > 0) {
        struct slice all = buf_slice(&h2->out);
        h2->writing = true;
        h2->written_by_ms = by(h2, connection->http->options.reply_ms);
        if (channel_write(&connection->channel, &all, 1) != 0) {
            connection_leave(connection);
            return;
        }
    } else if (is_over(h2)) {
        linger(h2);
        return;
    }
    arm(h2);
}

/* What a client that doesn't read makes us say is bounded: then we don't read, either. */
static void read_if_room(struct h2 *h2)
{
    bool room = !h2->writing || nghttp2_session_get_outbound_queue_size(h2->session) < H2_QUEUE;
    connection_read(h2->connection, room);
}

static void h2_written(struct connection *connection, int status)
{
    struct h2 *h2 = h2_of(connection);
    h2->writing = false;
    h2->written_by_ms = 0;
    buf_clear(&h2->out);
    if (status != 0) {
        connection_leave(connection);
        return;
    }
    h2_flush(h2);
    if (!h2->writing) {
        buf_fini(&h2->out); /* an idle connection keeps no memory */
        buf_init(&h2->out, OUT_LIMIT_BYTES);
    }
    if (!channel_is_closing(&connection->channel))
        read_if_room(h2);
}

/* ---- who only talks ------------------------------------------------------------------------------ */

static bool spend(struct allowance *allowance, uint64_t now)
{
    uint64_t earned = (now - allowance->since_ms) * allowance->a_second / 1000;
    if (earned > 0) {
        uint64_t left = allowance->left + earned;
        allowance->left = left < allowance->at_once ? (unsigned)left : allowance->at_once;
        allowance->since_ms = now;
    }
    if (allowance->left == 0)
        return false;
    allowance->left--;
    return true;
}

static void calm_down(struct h2 *h2)
{
    h2->connection->http->counters->floods++;
    (void)nghttp2_session_terminate_session(h2->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* Each frame's header, also of CONTINUATION and of types that nobody knows. */
static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *frame, void *arg)
{
    struct h2 *h2 = arg;
    bool asks = frame->type == NGHTTP2_HEADERS || (frame->type == NGHTTP2_DATA && frame->length > 0);
    (void)session;
    if (!asks && !h2->flooded) {
        struct allowance *allowance = frame->type == NGHTTP2_RST_STREAM ? &h2->resets : &h2->talk;
        h2->flooded = !spend(allowance, now_ms(h2));
        if (h2->flooded)
            calm_down(h2);
    }
    return 0;
}

/* ---- what the frames mean ------------------------------------------------------------------------ */

static struct h2_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static struct slice slice_from(const uint8_t *bytes, size_t n)
{
    return (struct slice){(const char *)bytes, n};
}

static struct h2_stream *add_stream(struct h2 *h2, int32_t id)
{
    struct http *http = h2->connection->http;
    struct h2_stream *stream =
        http->h2_streams < HTTP_H2_STREAMS && !h2->stopped ? h2_stream_create(h2, id) : NULL;
    if (stream == NULL)
        return NULL;
    stream->next = h2->streams;
    if (stream->next != NULL)
        stream->next->prev = stream;
    h2->streams = stream;
    h2->idle_by_ms = 0;
    http->h2_streams++;
    return stream;
}

static void remove_stream(struct h2 *h2, struct h2_stream *stream)
{
    struct http *http = h2->connection->http;
    if (stream->prev != NULL)
        stream->prev->next = stream->next;
    else
        h2->streams = stream->next;
    if (stream->next != NULL)
        stream->next->prev = stream->prev;
    if (h2->streams == NULL)
        h2->idle_by_ms = by(h2, http->options.idle_ms);
    http->h2_streams--;
    h2_stream_destroy(&stream);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h2 = arg;
    h2->head_by_ms = by(h2, h2->connection->http->options.head_ms);
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0; /* trailers: read over */
    struct h2_stream *stream = add_stream(h2, frame->hd.stream_id);
    if (stream == NULL)
        return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                         NGHTTP2_REFUSED_STREAM);
    return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
    struct h2_stream *stream = stream_of(session, frame->hd.stream_id);
    (void)flags;
    (void)arg;
    if (stream != NULL && stream->state == H2_HEAD)
        h2_stream_field(stream, slice_from(name, name_n), slice_from(value, value_n));
    return 0;
}

static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                             size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
    struct h2_stream *stream = stream_of(session, frame->hd.stream_id);
    (void)name;
    (void)name_n;
    (void)value;
    (void)value_n;
    (void)flags;
    (void)arg;
    if (stream != NULL)
        stream->is_odd = true;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h2 = arg;
    struct h2_stream *stream = stream_of(session, frame->hd.stream_id);
    bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_HEADERS)
        h2->head_by_ms = 0;
    if (stream == NULL)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && stream->state == H2_HEAD)
        h2_stream_head_done(stream, last);
    else if (last && (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS))
        h2_stream_data_done(stream);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n,
                   void *arg)
{
    struct h2_stream *stream = stream_of(session, id);
    (void)flags;
    (void)arg;
    if (stream != NULL)
        h2_stream_data(stream, slice_from(bytes, n));
    return 0;
}

/* Whoever is answered before its body came may stop sending it (RFC 9113, 8.1). */
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct h2 *h2 = arg;
    bool reply = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (!reply)
        return 0;
    unsigned left = h2->talk.left + H2_TALK_FOR_DATA;
    h2->talk.left = left < H2_TALK ? left : H2_TALK;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
        nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    struct h2_stream *stream = stream_of(session, id);
    (void)code;
    if (stream != NULL)
        remove_stream(arg, stream);
    return 0;
}

/* ---- what the connection tells ------------------------------------------------------------------- */

static int create_session(struct h2 *h2)
{
    nghttp2_session_callbacks *calls = NULL;
    nghttp2_option *option = NULL;
    int rc = nghttp2_session_callbacks_new(&calls);
    if (rc == 0)
        rc = nghttp2_option_new(&option);
    if (rc == 0) {
        nghttp2_session_callbacks_set_on_begin_frame_callback(calls, on_begin_frame);
        nghttp2_session_callbacks_set_on_begin_headers_callback(calls, on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
        nghttp2_session_callbacks_set_on_invalid_header_callback(calls, on_invalid_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data);
        nghttp2_session_callbacks_set_on_frame_send_callback(calls, on_sent);
        nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_stream_close);
        nghttp2_option_set_no_closed_streams(option, 1);
        nghttp2_option_set_max_outbound_ack(option, H2_QUEUE);
        rc = nghttp2_session_server_new2(&h2->session, calls, h2, option);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(calls);
    return rc == 0 ? 0 : ERR_NO_MEMORY;
}

static int greet(struct h2 *h2)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_STREAMS},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_HEAD_BYTES},
    };
    int rc =
        nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings);
    if (rc == 0)
        rc = nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                                   H2_CONNECTION_WINDOW_BYTES);
    return rc == 0 ? 0 : ERR_NO_MEMORY;
}

static int h2_begin(struct connection *connection)
{
    struct h2 *h2 = calloc(1, sizeof *h2);
    if (h2 == NULL)
        return ERR_NO_MEMORY;
    connection->speaker = h2;
    h2->connection = connection;
    buf_init(&h2->out, OUT_LIMIT_BYTES);
    uint64_t now = now_ms(h2);
    h2->talk = (struct allowance){H2_TALK, H2_TALK, H2_TALK_A_SECOND, now};
    h2->resets = (struct allowance){H2_RESETS, H2_RESETS, H2_RESETS_A_SECOND, now};
    h2->idle_by_ms = by(h2, connection->http->options.idle_ms);
    int rc = create_session(h2);
    if (rc == 0)
        rc = greet(h2);
    if (rc == 0)
        h2_flush(h2);
    return rc;
}

static void h2_read(struct connection *connection, struct slice bytes)
{
    struct h2 *h2 = h2_of(connection);
    if (h2->lingering) {
        h2->lingered += bytes.n;
        if (h2->lingered > LINGER_BYTES)
            connection_leave(connection);
        return;
    }
    h2->inside = true;
    ssize_t n = nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes.p, bytes.n);
    h2->inside = false;
    if (n < 0) { /* no HTTP/2, no memory, or more to acknowledge than nghttp2 puts up with */
        connection->http->counters->floods += n == NGHTTP2_ERR_FLOODED;
        connection_leave(connection);
        return;
    }
    h2_flush(h2);
    if (!channel_is_closing(&connection->channel) && !h2->lingering)
        read_if_room(h2);
}

static void h2_ended(struct connection *connection, bool reset)
{
    (void)reset;
    connection_leave(connection);
}

static bool is_past(const struct h2 *h2, uint64_t by_ms)
{
    return by_ms != 0 && now_ms(h2) >= by_ms;
}

static void h2_deadline(struct connection *connection)
{
    struct h2 *h2 = h2_of(connection);
    bool late = is_past(h2, h2->head_by_ms) || is_past(h2, h2->written_by_ms);
    connection->http->counters->timeouts += late && !h2->lingering;
    if (late || h2->lingering || h2->writing) {
        connection_leave(connection);
        return;
    }
    if (is_past(h2, h2->idle_by_ms)) {
        h2->idle_by_ms = 0;
        (void)nghttp2_session_terminate_session(h2->session, NGHTTP2_NO_ERROR);
    }
    h2_flush(h2);
}

static void h2_stop(struct connection *connection)
{
    struct h2 *h2 = h2_of(connection);
    h2->stopped = true;
    h2->inside = true; /* what is answered at once is sent together */
    (void)nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(h2->session), NGHTTP2_NO_ERROR, NULL,
                                0);
    for (struct h2_stream *stream = h2->streams; stream != NULL; stream = stream->next)
        h2_stream_drain(stream);
    h2->inside = false;
    h2_flush(h2);
}

static void h2_leave(struct connection *connection)
{
    struct h2 *h2 = h2_of(connection);
    while (h2->streams != NULL)
        remove_stream(h2, h2->streams);
}

static void h2_fini(struct connection *connection)
{
    struct h2 *h2 = h2_of(connection);
    nghttp2_session_del(h2->session);
    buf_fini(&h2->out);
    free(h2);
}

const struct protocol h2_protocol = {
    .begin = h2_begin,
    .read = h2_read,
    .ended = h2_ended,
    .written = h2_written,
    .deadline = h2_deadline,
    .stop = h2_stop,
    .leave = h2_leave,
    .fini = h2_fini,
};
