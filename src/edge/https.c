/* SPDX-License-Identifier: Apache-2.0
 *
 * https: see https.h. A request goes through states, each of which either does its step or says what it waits
 * for:
 *
 *   IDLE → CONNECTING → [ASKING the proxy → HEARING it] → SHAKING → SENDING → READING → IDLE
 *
 * A kept connection that the server has closed meanwhile is opened once more, silently.
 */
#include "https.h"

#include "base/clock.h"

#include <errno.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/sha256.h>
#include <mbedtls/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { REQUEST_BYTES = 2 * 1024 * 1024, HEAD_BYTES = 2048, READ_BYTES = 16 * 1024 };

enum state { IDLE, CONNECTING, ASKING, HEARING, SHAKING, SENDING, READING };

struct https {
    struct https_options options;
    struct sockaddr_storage address;
    socklen_t address_bytes;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_ssl_config config;
    mbedtls_x509_crt authorities;
    mbedtls_ssl_context tls;
    bool tls_open;
    int fd; /* -1: no connection */
    enum state state;
    bool wants_write, reused, again, seen;
    struct buf request, in;
    size_t sent;
    int64_t until_us; /* monotonic: of the present state */
    uint8_t seen_pin[HTTPS_PIN_BYTES];
};

static const char *alpn[] = {"http/1.1", NULL};

/* ---- life ------------------------------------------------------------------------------------ */

static int read_authorities(struct https *h, struct err *err)
{
    const char *file = h->options.ca_file;
    if (file[0] == '\0')
        return 0;
    int rc = mbedtls_x509_crt_parse_file(&h->authorities, file);
    return rc == 0
               ? 0
               : err_set(err, ERR_CONFIG, "https_ca %s holds no certificates in PEM, or can't be read", file);
}

static int configure(struct https *h, struct err *err)
{
    bool certified = h->options.ca_file[0] != '\0';
    int rc = read_authorities(h, err);
    if (rc != 0)
        return rc;
    if (mbedtls_ctr_drbg_seed(&h->random, mbedtls_entropy_func, &h->entropy, NULL, 0) != 0 ||
        mbedtls_ssl_config_defaults(&h->config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        return err_set(err, ERR_NO_MEMORY, "TLS can't be set up");
    mbedtls_ssl_conf_rng(&h->config, mbedtls_ctr_drbg_random, &h->random);
    mbedtls_ssl_conf_min_version(&h->config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    /* Without authorities the pin alone decides (check_key), once the key has signed the handshake. */
    mbedtls_ssl_conf_authmode(&h->config,
                              certified ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_OPTIONAL);
    mbedtls_ssl_conf_ca_chain(&h->config, &h->authorities, NULL);
    (void)mbedtls_ssl_conf_alpn_protocols(&h->config, alpn);
    return 0;
}

int https_open(struct https **out, const struct https_options *options, struct err *err)
{
    struct https *h = calloc(1, sizeof *h);
    *out = NULL;
    if (h == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for HTTPS");
    h->options = *options;
    h->fd = -1;
    buf_init(&h->request, REQUEST_BYTES);
    buf_init(&h->in, HTTPS_REPLY_BYTES + REPLY_HEAD_BYTES);
    mbedtls_entropy_init(&h->entropy);
    mbedtls_ctr_drbg_init(&h->random);
    mbedtls_ssl_config_init(&h->config);
    mbedtls_x509_crt_init(&h->authorities);
    int rc = configure(h, err);
    if (rc == 0)
        *out = h;
    else
        https_close(&h);
    return rc;
}

static void hang_up(struct https *h)
{
    if (h->tls_open)
        mbedtls_ssl_free(&h->tls);
    if (h->fd >= 0)
        (void)close(h->fd);
    h->tls_open = false;
    h->fd = -1;
    h->state = IDLE;
}

void https_close(struct https **https)
{
    struct https *h = *https;
    *https = NULL;
    if (h == NULL)
        return;
    hang_up(h);
    mbedtls_ssl_config_free(&h->config);
    mbedtls_x509_crt_free(&h->authorities);
    mbedtls_ctr_drbg_free(&h->random);
    mbedtls_entropy_free(&h->entropy);
    if (h->request.p != NULL)
        explicit_bzero(h->request.p, h->request.n); /* it holds the API key */
    buf_fini(&h->request);
    buf_fini(&h->in);
    free(h);
}

void https_go_to(struct https *h, const struct sockaddr *address, socklen_t bytes)
{
    hang_up(h);
    memcpy(&h->address, address, bytes);
    h->address_bytes = bytes;
}

bool https_is_idle(const struct https *h)
{
    return h->state == IDLE;
}

bool https_seen_pin(const struct https *h, uint8_t pin[HTTPS_PIN_BYTES])
{
    memcpy(pin, h->seen_pin, HTTPS_PIN_BYTES);
    return h->seen;
}

/* ---- connection ------------------------------------------------------------------------------ */

static void enter(struct https *h, enum state state, bool wants_write)
{
    h->state = state;
    h->wants_write = wants_write;
}

static int send_some(void *arg, const unsigned char *bytes, size_t n)
{
    const struct https *h = arg;
    ssize_t done = send(h->fd, bytes, n, MSG_NOSIGNAL);
    if (done >= 0)
        return (int)done;
    return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_WRITE : MBEDTLS_ERR_NET_SEND_FAILED;
}

static int receive_some(void *arg, unsigned char *bytes, size_t n)
{
    const struct https *h = arg;
    ssize_t done = recv(h->fd, bytes, n, 0);
    if (done >= 0)
        return (int)done;
    return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_NET_RECV_FAILED;
}

static int start_connecting(struct https *h, int64_t now_us, struct err *err)
{
    h->until_us = now_us + HTTPS_CONNECT_MS * INT64_C(1000);
    h->reused = false;
    h->fd = socket(h->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (h->fd < 0)
        return err_errno(err, errno, "a socket can't be made");
    if (connect(h->fd, (const struct sockaddr *)&h->address, h->address_bytes) != 0 && errno != EINPROGRESS)
        return err_set(err, ERR_UNAVAILABLE, "nothing answers at this address [%s]", strerror(errno));
    enter(h, CONNECTING, true);
    return ERR_MORE;
}

static bool is_numeric(const char *host)
{
    return strchr(host, ':') != NULL || host[strspn(host, "0123456789.")] == '\0';
}

static int start_tls(struct https *h, struct err *err)
{
    const char *host = h->options.url.host;
    bool certified = h->options.ca_file[0] != '\0';
    mbedtls_ssl_init(&h->tls);
    h->tls_open = true;
    if (mbedtls_ssl_setup(&h->tls, &h->config) != 0 ||
        ((certified || !is_numeric(host)) && mbedtls_ssl_set_hostname(&h->tls, host) != 0))
        return err_set(err, ERR_NO_MEMORY, "no memory for TLS");
    mbedtls_ssl_set_bio(&h->tls, h, send_some, receive_some, NULL);
    enter(h, SHAKING, true);
    return 0;
}

/* CONNECT to the hub through the proxy; what was asked is in `in` until it is sent. */
static int ask_proxy(struct https *h)
{
    const struct https_url *url = &h->options.url;
    bool six = strchr(url->host, ':') != NULL;
    buf_clear(&h->in);
    h->sent = 0;
    enter(h, ASKING, true);
    return buf_addf(&h->in, "CONNECT %s%s%s:%s HTTP/1.1\r\nHost: %s%s%s:%s\r\n\r\n", six ? "[" : "",
                    url->host, six ? "]" : "", url->port, six ? "[" : "", url->host, six ? "]" : "",
                    url->port);
}

static int connected(struct https *h, struct err *err)
{
    int errnum = 0;
    socklen_t size = sizeof errnum;
    struct pollfd item = {h->fd, POLLOUT, 0};
    if (poll(&item, 1, 0) == 0)
        return ERR_MORE;
    if (getsockopt(h->fd, SOL_SOCKET, SO_ERROR, &errnum, &size) != 0)
        errnum = errno;
    if (errnum != 0)
        return err_set(err, ERR_UNAVAILABLE, "nothing answers at this address [%s]", strerror(errnum));
    return h->options.proxied ? ask_proxy(h) : start_tls(h, err);
}

static int tell_proxy(struct https *h, struct err *err)
{
    int n = send_some(h, (const unsigned char *)h->in.p + h->sent, h->in.n - h->sent);
    if (n == MBEDTLS_ERR_SSL_WANT_WRITE)
        return ERR_MORE;
    if (n < 0)
        return err_set(err, ERR_UNAVAILABLE, "the proxy closes the connection");
    h->sent += (size_t)n;
    if (h->sent < h->in.n)
        return 0;
    buf_clear(&h->in);
    enter(h, HEARING, false);
    return 0;
}

/* Byte by byte, so that none of TLS is taken; the reply is short. */
static int hear_proxy(struct https *h, struct err *err)
{
    struct reply reply;
    unsigned char byte;
    int n = receive_some(h, &byte, 1);
    if (n == MBEDTLS_ERR_SSL_WANT_READ)
        return ERR_MORE;
    if (n <= 0 || buf_add(&h->in, &byte, 1) != 0)
        return err_set(err, ERR_UNAVAILABLE, "the proxy closes the connection");
    int rc = reply_parse(buf_slice(&h->in), 0, true, &reply);
    if (rc == ERR_MORE)
        return 0;
    if (rc != 0 || reply.status / 100 != 2)
        return err_set(err, ERR_UNAVAILABLE, "the proxy lets nobody through to the hub [%d]: see https_proxy",
                       reply.status);
    buf_clear(&h->in);
    return start_tls(h, err);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

/* 0: it goes on at once; ERR_MORE: it waits. */
static int want(struct https *h, int tls)
{
    if (tls != MBEDTLS_ERR_SSL_WANT_READ && tls != MBEDTLS_ERR_SSL_WANT_WRITE)
        return ERR_IO;
    h->wants_write = tls == MBEDTLS_ERR_SSL_WANT_WRITE;
    return ERR_MORE;
}

static int check_key(struct https *h, struct err *err)
{
    const mbedtls_x509_crt *certificate = mbedtls_ssl_get_peer_cert(&h->tls);
    if (certificate == NULL ||
        mbedtls_sha256_ret(certificate->pk_raw.p, certificate->pk_raw.len, h->seen_pin, 0) != 0)
        return err_set(err, ERR_DENIED, "the server shows no certificate");
    h->seen = true;
    if (!h->options.pinned || memcmp(h->seen_pin, h->options.pin, HTTPS_PIN_BYTES) == 0)
        return 0;
    return err_set(err, ERR_DENIED, "the server's key is not the pinned one: see https_pin");
}

static int shake(struct https *h, int64_t now_us, struct err *err)
{
    int rc = mbedtls_ssl_handshake(&h->tls);
    if (rc == 0) {
        rc = check_key(h, err);
        h->until_us = now_us + HTTPS_POST_MS * INT64_C(1000);
        h->sent = 0;
        enter(h, SENDING, true);
        return rc;
    }
    if (want(h, rc) == ERR_MORE)
        return ERR_MORE;
    if (mbedtls_ssl_get_verify_result(&h->tls) != 0 && h->options.ca_file[0] != '\0' &&
        rc == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED)
        return err_set(err, ERR_DENIED, "the server's certificate is not of https_ca, or not for this name");
    return err_set(err, ERR_UNAVAILABLE, "TLS can't be agreed on: is that the hub's port? [-0x%04x]",
                   (unsigned)-rc);
}

/* The server closed: on a connection that was kept it may have been about to, and one more attempt is fair.
 */
static int closed(struct https *h, int64_t now_us, struct err *err)
{
    bool fair = h->reused && h->in.n == 0 && !h->again;
    hang_up(h);
    if (!fair)
        return err_set(err, ERR_UNAVAILABLE, "the server closes the connection");
    h->again = true;
    h->sent = 0;
    return start_connecting(h, now_us, err);
}

static int send_request(struct https *h, int64_t now_us, struct err *err)
{
    int n = mbedtls_ssl_write(&h->tls, (const unsigned char *)h->request.p + h->sent, h->request.n - h->sent);
    if (n < 0)
        return want(h, n) == ERR_MORE ? ERR_MORE : closed(h, now_us, err);
    h->sent += (size_t)n;
    if (h->sent == h->request.n)
        enter(h, READING, false);
    return 0;
}

static int read_reply(struct https *h, int64_t now_us, struct reply *reply, struct slice *body,
                      struct err *err)
{
    static _Thread_local unsigned char bytes[READ_BYTES];
    int n = mbedtls_ssl_read(&h->tls, bytes, sizeof bytes);
    if (n < 0 && want(h, n) == ERR_MORE)
        return ERR_MORE;
    if (n <= 0)
        return closed(h, now_us, err);
    int rc = buf_add(&h->in, bytes, (size_t)n);
    if (rc == 0)
        rc = reply_parse(buf_slice(&h->in), HTTPS_REPLY_BYTES, false, reply);
    if (rc == ERR_MORE)
        return 0; /* TLS may hold more already */
    if (rc != 0)
        return err_set(err, rc == ERR_UNSUPPORTED ? rc : ERR_INVALID, "what answers there is no hub [%s]",
                       err_text(rc));
    *body = (struct slice){h->in.p + reply->body_at, reply->body_bytes};
    if (!reply->keep_alive || h->in.n != reply->body_at + reply->body_bytes)
        hang_up(h);
    h->state = IDLE;
    return ERR_END; /* of this loop */
}

/* ---- requests -------------------------------------------------------------------------------- */

int https_post(struct https *h, struct slice body, int64_t now_us)
{
    const struct https_options *o = &h->options;
    bool six = strchr(o->url.host, ':') != NULL;
    buf_clear(&h->request);
    buf_clear(&h->in);
    h->sent = 0;
    h->again = false;
    int rc = buf_addf(&h->request,
                      "POST %s%s HTTP/1.1\r\nHost: %s%s%s:%s\r\nUser-Agent: policy-proxy/" VERSION
                      "\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                      o->url.path, o->path, six ? "[" : "", o->url.host, six ? "]" : "", o->url.port,
                      o->bearer, o->type, body.n);
    if (rc == 0)
        rc = buf_add_slice(&h->request, body);
    if (rc != 0)
        return rc;
    h->until_us = now_us + HTTPS_POST_MS * INT64_C(1000);
    h->reused = h->fd >= 0;
    if (h->reused)
        enter(h, SENDING, true);
    else if (start_connecting(h, now_us, NULL) != ERR_MORE)
        enter(h, CONNECTING, true); /* the step tells */
    return 0;
}

int https_poll(const struct https *h, short *events)
{
    *events = h->wants_write ? POLLOUT : POLLIN;
    return h->state == IDLE ? -1 : h->fd;
}

static int step(struct https *h, int64_t now_us, struct reply *reply, struct slice *body, struct err *err)
{
    switch (h->state) {
    case CONNECTING:
        return h->fd >= 0 ? connected(h, err)
                          : err_set(err, ERR_UNAVAILABLE, "a connection to this address can't be begun");
    case ASKING:
        return tell_proxy(h, err);
    case HEARING:
        return hear_proxy(h, err);
    case SHAKING:
        return shake(h, now_us, err);
    case SENDING:
        return send_request(h, now_us, err);
    case READING:
        return read_reply(h, now_us, reply, body, err);
    default:
        return ERR_END;
    }
}

int https_step(struct https *h, int64_t now_us, struct reply *reply, struct slice *body, struct err *err)
{
    int rc;
    if (h->state == IDLE)
        return ERR_END;
    do
        rc = step(h, now_us, reply, body, err);
    while (rc == 0);
    if (rc == ERR_END)
        return 0;
    if (rc == ERR_MORE && now_us < h->until_us)
        return ERR_MORE;
    if (rc == ERR_MORE)
        rc = err_set(err, ERR_TIMEOUT, "the server does not answer in time");
    hang_up(h);
    return rc;
}
