/* SPDX-License-Identifier: Apache-2.0
 *
 * channel: the bytes of one connection, plain or by TLS. Who speaks on it hears plain bytes, says plain
 * bytes, and decides with channel_read how much is heard: what isn't heard waits in the kernel, and so the
 * peer has to. One write is under way at a time; its bytes are lent until it is done. Embed it as the first
 * member. Loop thread.
 */
#ifndef HTTP_CHANNEL_H
#define HTTP_CHANNEL_H

#include "base/text.h"
#include "loop/conn.h"
#include "secure.h"

enum { CHANNEL_READ_BYTES = 64 * 1024, CHANNEL_PARTS = 4 };

struct channel;

struct channel_calls {
    void (*ready)(
        struct channel *channel); /* TLS: the handshake is over; reading is on. Comes before `read` */
    void (*read)(struct channel *channel, struct slice bytes); /* lent until it returns, READ_BYTES at most */
    void (*ended)(struct channel *channel, bool reset);        /* the peer says no more, or is gone */
    void (*written)(struct channel *channel, int status);      /* 0, or it broke */
    void (*told)(struct channel *channel);                     /* the peer hears our end (channel_shutdown) */
    void (*closed)(struct channel *channel);                   /* the last call: frees */
};

struct channel {
    struct conn conn; /* first */
    const struct channel_calls *calls;
    char *room; /* CHANNEL_READ_BYTES, shared by the channels of a loop */
    bool reading;
    uv_write_t write;
    uv_shutdown_t shutdown;
    /* TLS only */
    struct secure *secure;
    bool began, delivering, writing, ending;
    struct slice parts[CHANNEL_PARTS]; /* what isn't said yet of a write */
    size_t part_count, part_at;
    struct buf sending; /* lent to uv_write */
};

/* As conn_accept: on ERR_IO `closed` will be called, the caller only returns. Nothing is read yet. */
MUST_CHECK int channel_accept(struct channel *channel, struct acceptor *acceptor, char *room,
                              const struct channel_calls *calls);
/* TLS from here on: reads until it is ready or has ended. Before anything else. ERR_NO_MEMORY, ERR_IO. */
MUST_CHECK int channel_secure(struct channel *channel, struct tls *tls);
void channel_close(struct channel *channel); /* once or more often; only `closed` comes afterwards */

MUST_CHECK int channel_read(struct channel *channel, bool on); /* ERR_IO: it can't be read */
/* The parts (at most CHANNEL_PARTS, not all empty) one behind the other. ERR_IO: it is broken, `written`
 * won't be called. */
MUST_CHECK int channel_write(struct channel *channel, const struct slice *parts, size_t count);
/* A few bytes while no write is under way, without a word when they don't get through. */
void channel_say(struct channel *channel, struct slice bytes);
/* Our end, behind all that was written. ERR_IO. */
MUST_CHECK int channel_shutdown(struct channel *channel);
/* The peer is to see that closing is no orderly end: what it hasn't taken then is lost, and a reset comes. */
void channel_break(struct channel *channel);

static inline bool channel_is_closing(const struct channel *channel)
{
    return conn_is_closing(&channel->conn);
}

#endif
