/* SPDX-License-Identifier: Apache-2.0
 *
 * secure: see secure.h. OpenSSL reads and writes our own buffers: its memory BIOs never give memory back, and
 * a thousand idle connections shall cost little.
 */
#include "secure.h"

#include "tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

enum { RECORD_BYTES = 16 * 1024, OUT_LIMIT_BYTES = 4 * SECURE_OUT_BYTES };

struct secure {
    SSL *ssl;
    struct buf in, out;
    size_t in_at; /* what OpenSSL has taken of in */
    unsigned late;
    bool ready;
};

/* ---- the two buffers, as a BIO ------------------------------------------------------------------ */

static int bio_read(BIO *bio, char *out, size_t size, size_t *n)
{
    struct secure *secure = BIO_get_data(bio);
    size_t left = secure->in.n - secure->in_at;
    BIO_clear_retry_flags(bio);
    if (left == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    *n = size < left ? size : left;
    memcpy(out, secure->in.p + secure->in_at, *n);
    secure->in_at += *n;
    if (secure->in_at == secure->in.n) {
        buf_fini(&secure->in);
        buf_init(&secure->in, SECURE_IN_BYTES);
        secure->in_at = 0;
    }
    return 1;
}

static int bio_write(BIO *bio, const char *bytes, size_t size, size_t *n)
{
    struct secure *secure = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (buf_add(&secure->out, bytes, size) != 0)
        return 0;
    *n = size;
    return 1;
}

static long bio_ctrl(BIO *bio, int what, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return what == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method(void)
{
    static BIO_METHOD *made; /* once; it lives as long as the process */
    if (made != NULL)
        return made;
    made = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "channel");
    if (made == NULL || BIO_meth_set_read_ex(made, bio_read) != 1 ||
        BIO_meth_set_write_ex(made, bio_write) != 1 || BIO_meth_set_ctrl(made, bio_ctrl) != 1) {
        BIO_meth_free(made);
        made = NULL;
    }
    return made;
}

/* ---- its life ----------------------------------------------------------------------------------- */

/* A peer may ask for new keys again and again, each costs an answer (OpenSSL has no bound for it). */
static void on_message(int ours, int version, int type, const void *bytes, size_t n, SSL *ssl, void *arg)
{
    struct secure *secure = arg;
    (void)version;
    (void)bytes;
    (void)n;
    (void)ssl;
    if (!ours && secure->ready && type == SSL3_RT_HANDSHAKE)
        secure->late++;
}

int secure_create(struct secure **out, struct tls *tls)
{
    struct secure *secure = calloc(1, sizeof *secure);
    BIO *bio = secure != NULL && method() != NULL ? BIO_new(method()) : NULL;
    if (bio != NULL)
        secure->ssl = tls_session(tls);
    if (secure == NULL || secure->ssl == NULL) {
        BIO_free(bio);
        free(secure);
        ERR_clear_error();
        return ERR_NO_MEMORY;
    }
    BIO_set_data(bio, secure);
    BIO_set_init(bio, 1);
    SSL_set_bio(secure->ssl, bio, bio);
    SSL_set_accept_state(secure->ssl);
    SSL_set_msg_callback(secure->ssl, on_message);
    SSL_set_msg_callback_arg(secure->ssl, secure);
    buf_init(&secure->in, SECURE_IN_BYTES);
    buf_init(&secure->out, OUT_LIMIT_BYTES);
    *out = secure;
    return 0;
}

void secure_destroy(struct secure **secure)
{
    struct secure *self = *secure;
    *secure = NULL;
    if (self == NULL)
        return;
    SSL_free(self->ssl);
    buf_fini(&self->in);
    buf_fini(&self->out);
    free(self);
}

/* ---- what is heard and said ---------------------------------------------------------------------- */

int secure_hear(struct secure *secure, struct slice bytes)
{
    return buf_add_slice(&secure->in, bytes);
}

int secure_read(struct secure *secure, char *room, size_t size, size_t *n)
{
    ERR_clear_error();
    int done = SSL_read_ex(secure->ssl, room, size, n);
    secure->ready = secure->ready || SSL_is_init_finished(secure->ssl) == 1;
    if (secure->late > SECURE_LATE_MESSAGES)
        return ERR_INVALID;
    if (done == 1)
        return 0;
    int why = SSL_get_error(secure->ssl, done);
    ERR_clear_error();
    return why == SSL_ERROR_WANT_READ ? ERR_MORE : why == SSL_ERROR_ZERO_RETURN ? ERR_END : ERR_INVALID;
}

int secure_say(struct secure *secure, struct slice bytes, size_t *used)
{
    *used = 0;
    ERR_clear_error();
    while (*used < bytes.n && secure->out.n < SECURE_OUT_BYTES) {
        size_t n = bytes.n - *used < RECORD_BYTES ? bytes.n - *used : RECORD_BYTES, now;
        if (SSL_write_ex(secure->ssl, bytes.p + *used, n, &now) != 1) {
            ERR_clear_error();
            return ERR_INVALID; /* our BIO never makes it wait */
        }
        *used += now;
    }
    return 0;
}

void secure_say_end(struct secure *secure)
{
    ERR_clear_error();
    (void)SSL_shutdown(secure->ssl);
    ERR_clear_error();
}

bool secure_take(struct secure *secure, struct buf *out)
{
    if (secure->out.n == 0)
        return false;
    *out = secure->out;
    buf_init(&secure->out, OUT_LIMIT_BYTES);
    return true;
}

bool secure_is_ready(const struct secure *secure)
{
    return secure->ready;
}

bool secure_is_h2(const struct secure *secure)
{
    const unsigned char *name = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(secure->ssl, &name, &n);
    return n == 2 && memcmp(name, "h2", 2) == 0;
}
