/* SPDX-License-Identifier: Apache-2.0
 *
 * channel: see channel.h. With TLS, a write is said in steps of SECURE_OUT_BYTES, each when the one before
 * has left; what TLS itself has to say goes along.
 */
#include "channel.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* tcp(7): what the kernel takes of a reply beyond what is under way to the client. Without it a client that
 * reads little makes it take megabytes, cut for its window into thousands of segments: memory, and half a
 * millisecond of the loop for every 64 KiB. */
enum { KERNEL_UNSENT_BYTES = 128 * 1024 };

static void on_closed(struct conn *conn)
{
    struct channel *channel = (struct channel *)conn;
    secure_destroy(&channel->secure);
    buf_fini(&channel->sending);
    channel->calls->closed(channel);
}

int channel_accept(struct channel *channel, struct acceptor *acceptor, char *room,
                   const struct channel_calls *calls)
{
    channel->calls = calls;
    channel->room = room;
    channel->write.data = channel;
    channel->shutdown.data = channel;
    int rc = conn_accept(&channel->conn, acceptor, on_closed);
    int unsent = KERNEL_UNSENT_BYTES;
    if (rc == 0)
        (void)setsockopt(channel->conn.fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    return rc;
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

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
    struct channel *channel = shutdown->data;
    (void)status;
    if (!channel_is_closing(channel))
        channel->calls->told(channel);
}

static int shut_down(struct channel *channel)
{
    return uv_shutdown(&channel->shutdown, &channel->conn.handle.stream, on_shutdown) == 0 ? 0 : ERR_IO;
}

/* ---- TLS: what is said ------------------------------------------------------------------------ */

/* Says of the write what fits. */
static int say_parts(struct channel *channel)
{
    while (channel->part_at < channel->part_count) {
        struct slice *part = &channel->parts[channel->part_at];
        size_t used;
        int rc = secure_say(channel->secure, *part, &used);
        if (rc != 0)
            return rc;
        *part = (struct slice){part->p + used, part->n - used};
        if (part->n > 0)
            break;
        channel->part_at++;
    }
    return 0;
}

static void on_sent(uv_write_t *write, int status);

/* Sends what there is, unless something is on its way. */
static int flush(struct channel *channel)
{
    if (channel->sending.n > 0)
        return 0;
    int rc = say_parts(channel);
    if (secure_take(channel->secure, &channel->sending)) {
        uv_buf_t buf = uv_buf_init(channel->sending.p, (unsigned)channel->sending.n);
        if (uv_write(&channel->write, &channel->conn.handle.stream, &buf, 1, on_sent) != 0)
            rc = ERR_IO;
    } else if (rc == 0 && channel->ending) {
        channel->ending = false;
        rc = shut_down(channel);
    }
    return rc;
}

static void on_sent(uv_write_t *write, int status)
{
    struct channel *channel = write->data;
    if (channel_is_closing(channel))
        return;
    buf_fini(&channel->sending);
    if (status == 0 && flush(channel) != 0)
        status = UV_EIO;
    bool done = channel->part_at == channel->part_count && channel->sending.n == 0;
    if (channel->writing && (done || status != 0)) {
        channel->writing = false;
        channel->calls->written(channel, status == 0 ? 0 : ERR_IO);
    } else if (status != 0) {
        channel->calls->ended(channel, true);
    }
}

/* ---- TLS: what is heard ----------------------------------------------------------------------- */

static void begin(struct channel *channel)
{
    channel->began = true;
    channel->calls->ready(channel);
}

/* Hands over what was heard as long as it is wanted. */
static void deliver(struct channel *channel)
{
    int rc = 0;
    if (channel->delivering)
        return;
    channel->delivering = true;
    while (rc == 0 && channel->reading && !channel_is_closing(channel)) {
        size_t n = 0;
        rc = secure_read(channel->secure, channel->room, CHANNEL_READ_BYTES, &n);
        if (!channel->began && secure_is_ready(channel->secure))
            begin(channel);
        if (rc == 0 && !channel_is_closing(channel))
            channel->calls->read(channel, (struct slice){channel->room, n});
    }
    channel->delivering = false;
    if (channel_is_closing(channel))
        return;
    if (flush(channel) != 0)
        rc = ERR_IO;
    if (rc != 0 && rc != ERR_MORE)
        channel->calls->ended(channel, rc != ERR_END);
}

static void hear(struct channel *channel, struct slice bytes)
{
    if (secure_hear(channel->secure, bytes) != 0)
        channel->calls->ended(channel, true);
    else
        deliver(channel);
}

int channel_secure(struct channel *channel, struct tls *tls)
{
    int rc = secure_create(&channel->secure, tls);
    return rc == 0 ? channel_read(channel, true) : rc;
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
    struct slice heard = {bytes->base, n > 0 ? (size_t)n : 0};
    if (n < 0)
        channel->calls->ended(channel, n != UV_EOF);
    else if (n > 0 && channel->secure != NULL)
        hear(channel, heard);
    else if (n > 0)
        channel->calls->read(channel, heard);
}

int channel_read(struct channel *channel, bool on)
{
    if (on == channel->reading || channel_is_closing(channel))
        return 0;
    channel->reading = on;
    if (!on)
        (void)uv_read_stop(&channel->conn.handle.stream);
    else if (channel->secure != NULL)
        deliver(channel); /* what was heard before */
    if (!channel->reading || channel_is_closing(channel))
        return 0;
    return uv_read_start(&channel->conn.handle.stream, on_alloc, on_read) == 0 ? 0 : ERR_IO;
}

/* ---- what is said ---------------------------------------------------------------------------- */

static void on_written(uv_write_t *write, int status)
{
    struct channel *channel = write->data;
    if (!channel_is_closing(channel))
        channel->calls->written(channel, status == 0 ? 0 : ERR_IO);
}

static int write_plain(struct channel *channel, const struct slice *parts, size_t count)
{
    uv_buf_t bufs[CHANNEL_PARTS];
    unsigned n = 0;
    for (size_t i = 0; i < count; i++)
        if (parts[i].n > 0)
            bufs[n++] = uv_buf_init((char *)(uintptr_t)parts[i].p, (unsigned)parts[i].n);
    return uv_write(&channel->write, &channel->conn.handle.stream, bufs, n, on_written) == 0 ? 0 : ERR_IO;
}

int channel_write(struct channel *channel, const struct slice *parts, size_t count)
{
    assert(count <= CHANNEL_PARTS && !channel->writing);
    if (channel->secure == NULL)
        return write_plain(channel, parts, count);
    memcpy(channel->parts, parts, count * sizeof *parts);
    channel->part_count = count;
    channel->part_at = 0;
    channel->writing = true;
    return flush(channel);
}

void channel_say(struct channel *channel, struct slice bytes)
{
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes.p, (unsigned)bytes.n);
    size_t used;
    if (channel->secure == NULL)
        (void)uv_try_write(&channel->conn.handle.stream, &buf, 1);
    else if (secure_say(channel->secure, bytes, &used) == 0)
        (void)flush(channel); /* else the next write hears of it */
}

int channel_shutdown(struct channel *channel)
{
    if (channel->secure == NULL)
        return shut_down(channel);
    secure_say_end(channel->secure);
    channel->ending = true;
    return flush(channel);
}
