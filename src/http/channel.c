/* SPDX-License-Identifier: Apache-2.0
 *
 * channel: see channel.h.
 */
#include "channel.h"

#include <assert.h>
#include <sys/socket.h>

static void on_closed(struct conn *conn)
{
    struct channel *channel = (struct channel *)conn;
    channel->calls->closed(channel);
}

int channel_accept(struct channel *channel, struct acceptor *acceptor, char *room,
                   const struct channel_calls *calls)
{
    channel->calls = calls;
    channel->room = room;
    channel->write.data = channel;
    channel->shutdown.data = channel;
    return conn_accept(&channel->conn, acceptor, on_closed);
}

void channel_close(struct channel *channel)
{
    conn_close(&channel->conn);
}

void channel_break(struct channel *channel)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(channel->conn.fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

/* ---- what is heard --------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *out)
{
    struct channel *channel = handle->data;
    (void)hint;
    *out = uv_buf_init(channel->room, CHANNEL_READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    struct channel *channel = stream->data;
    if (n < 0)
        channel->calls->ended(channel, n != UV_EOF);
    else if (n > 0)
        channel->calls->read(channel, (struct slice){bytes->base, (size_t)n});
}

int channel_read(struct channel *channel, bool on)
{
    if (on == channel->reading || channel_is_closing(channel))
        return 0;
    channel->reading = on;
    if (on)
        return uv_read_start(&channel->conn.handle.stream, on_alloc, on_read) == 0 ? 0 : ERR_IO;
    (void)uv_read_stop(&channel->conn.handle.stream);
    return 0;
}

/* ---- what is said ---------------------------------------------------------------------------- */

static void on_written(uv_write_t *write, int status)
{
    struct channel *channel = write->data;
    if (!channel_is_closing(channel))
        channel->calls->written(channel, status == 0 ? 0 : ERR_IO);
}

int channel_write(struct channel *channel, const struct slice *parts, size_t count)
{
    uv_buf_t bufs[CHANNEL_PARTS];
    unsigned n = 0;
    assert(count <= CHANNEL_PARTS);
    for (size_t i = 0; i < count; i++)
        if (parts[i].n > 0)
            bufs[n++] = uv_buf_init((char *)(uintptr_t)parts[i].p, (unsigned)parts[i].n);
    return uv_write(&channel->write, &channel->conn.handle.stream, bufs, n, on_written) == 0 ? 0 : ERR_IO;
}

void channel_say(struct channel *channel, struct slice bytes)
{
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes.p, (unsigned)bytes.n);
    (void)uv_try_write(&channel->conn.handle.stream, &buf, 1);
}

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
    struct channel *channel = shutdown->data;
    (void)status;
    if (!channel_is_closing(channel))
        channel->calls->told(channel);
}

int channel_shutdown(struct channel *channel)
{
    return uv_shutdown(&channel->shutdown, &channel->conn.handle.stream, on_shutdown) == 0 ? 0 : ERR_IO;
}
