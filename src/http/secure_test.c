/* SPDX-License-Identifier: Apache-2.0
 *
 * secure: OpenSSL's client against our side of TLS, through memory.
 */
#include "secure.h"

#include "base/test.h"
#include "tls.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MUCH_BYTES = 300 * 1000 };

static char dir[] = "/tmp/secure-test-XXXXXX", certificate_path[128], key_path[128];
static char room[64 * 1024];

struct pair {
    struct tls *tls;
    struct secure *secure;
    SSL_CTX *context;
    SSL *client;
    BIO *to_client, *from_client;
};

static void open_pair(struct pair *pair, struct tls *tls, SSL_SESSION *session, const char *alpn)
{
    pair->tls = tls;
    pair->context = SSL_CTX_new(TLS_client_method());
    pair->client = SSL_new(pair->context);
    pair->to_client = BIO_new(BIO_s_mem());
    pair->from_client = BIO_new(BIO_s_mem());
    SSL_set_bio(pair->client, pair->to_client, pair->from_client);
    SSL_set_connect_state(pair->client);
    if (session != NULL)
        assert_int_equal(SSL_set_session(pair->client, session), 1);
    assert_int_equal(SSL_set_alpn_protos(pair->client, (const unsigned char *)alpn, (unsigned)strlen(alpn)),
                     0);
    assert_int_equal(secure_create(&pair->secure, tls), 0);
}

static void close_pair(struct pair *pair)
{
    secure_destroy(&pair->secure);
    assert_null(pair->secure);
    SSL_set_shutdown(pair->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* else its tickets are void */
    SSL_free(pair->client);
    SSL_CTX_free(pair->context);
}

/* What the client said goes to the server, which reads it to *plain, and what that says goes back. */
static int carry(struct pair *pair, struct buf *plain)
{
    char bytes[4096];
    struct buf out = {0};
    int n, rc = 0;
    size_t got;
    while ((n = BIO_read(pair->from_client, bytes, sizeof bytes)) > 0)
        assert_int_equal(secure_hear(pair->secure, (struct slice){bytes, (size_t)n}), 0);
    while ((rc = secure_read(pair->secure, room, sizeof room, &got)) == 0)
        assert_int_equal(buf_add(plain, room, got), 0);
    if (secure_take(pair->secure, &out))
        assert_int_equal(BIO_write(pair->to_client, out.p, (int)out.n), (int)out.n);
    buf_fini(&out);
    return rc;
}

static int shake_hands(struct pair *pair)
{
    struct buf plain = {.limit = 1};
    for (int i = 0; i < 10; i++) {
        int done = SSL_do_handshake(pair->client);
        int rc = carry(pair, &plain);
        if (rc != ERR_MORE || (done == 1 && secure_is_ready(pair->secure)))
            return rc == ERR_MORE ? 0 : rc;
    }
    return ERR_TIMEOUT;
}

static struct tls *open_tls(void)
{
    struct tls *tls;
    struct err err = {0};
    if (tls_open(&tls, certificate_path, key_path, &err) != 0)
        fail_msg("%s", err_detail(&err));
    return tls;
}

static void test_much_both_ways(void **state)
{
    (void)state;
    struct pair pair;
    struct tls *tls = open_tls();
    struct buf plain = {.limit = MUCH_BYTES};
    static char much[MUCH_BYTES];
    char bytes[4096];
    size_t said = 0, heard = 0;
    for (size_t i = 0; i < sizeof much; i++)
        much[i] = (char)(i * 31 >> 3);
    open_pair(&pair, tls, NULL, "\x08http/1.1");
    assert_false(secure_is_ready(pair.secure));
    assert_int_equal(shake_hands(&pair), 0);
    assert_true(SSL_write(pair.client, much, 100000) == 100000);
    assert_int_equal(carry(&pair, &plain), ERR_MORE);
    assert_int_equal(plain.n, 100000);
    assert_memory_equal(plain.p, much, plain.n);
    while (heard < sizeof much) {
        size_t used;
        assert_int_equal(secure_say(pair.secure, (struct slice){much + said, sizeof much - said}, &used), 0);
        assert_true(used <= SECURE_OUT_BYTES + 16384); /* never more than it may keep */
        said += used;
        assert_int_equal(carry(&pair, &plain), ERR_MORE);
        for (int n; (n = SSL_read(pair.client, bytes, sizeof bytes)) > 0; heard += (size_t)n)
            assert_memory_equal(bytes, much + heard, (size_t)n);
    }
    secure_say_end(pair.secure);
    (void)SSL_shutdown(pair.client);
    assert_int_equal(carry(&pair, &plain), ERR_END);
    assert_int_equal(SSL_read(pair.client, bytes, sizeof bytes), 0);
    assert_int_equal(SSL_get_shutdown(pair.client), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    buf_fini(&plain);
    close_pair(&pair);
    tls_close(&tls);
}

static void test_no_protocol_in_common(void **state)
{
    (void)state;
    struct pair pair;
    struct tls *tls = open_tls();
    open_pair(&pair, tls, NULL, "\x04spdy");
    assert_int_equal(shake_hands(&pair), ERR_INVALID);
    close_pair(&pair);
    tls_close(&tls);
}

/* Bytes that are no TLS, cut at any place. */
static void test_noise(void **state)
{
    (void)state;
    static const char *const noises[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\x16\x03\x01\xff\xff",
                                         "\x16\x03\x01\x00\x04\x01\xff\xff\xff", "\x80\x2e\x01\x03\x01"};
    struct tls *tls = open_tls();
    for (size_t i = 0; i < ARRAY_LENGTH(noises); i++) {
        struct secure *secure;
        size_t n;
        int rc = ERR_MORE;
        assert_int_equal(secure_create(&secure, tls), 0);
        for (const char *c = noises[i]; *c != '\0' && rc == ERR_MORE; c++) {
            assert_int_equal(secure_hear(secure, (struct slice){c, 1}), 0);
            rc = secure_read(secure, room, sizeof room, &n);
        }
        assert_true(rc == ERR_INVALID || rc == ERR_MORE);
        assert_false(secure_is_ready(secure));
        secure_destroy(&secure);
    }
    tls_close(&tls);
}

static void test_endless_new_keys(void **state)
{
    (void)state;
    struct pair pair;
    struct tls *tls = open_tls();
    struct buf plain = {.limit = 1024};
    int rc = ERR_MORE, updates = 0;
    open_pair(&pair, tls, NULL, "\x08http/1.1");
    assert_int_equal(shake_hands(&pair), 0);
    for (; rc == ERR_MORE && updates < 1000; updates++) {
        char byte;
        assert_int_equal(SSL_key_update(pair.client, SSL_KEY_UPDATE_REQUESTED), 1);
        (void)SSL_do_handshake(pair.client);
        rc = carry(&pair, &plain);
        (void)SSL_read(pair.client, &byte, 1);
    }
    assert_int_equal(rc, ERR_INVALID);
    assert_true(updates > SECURE_LATE_MESSAGES && updates < 2 * SECURE_LATE_MESSAGES);
    buf_fini(&plain);
    close_pair(&pair);
    tls_close(&tls);
}

/* A ticket opens a session as long as its key is the newest or the one before; and after the certificate was
 * read anew. */
static void test_tickets(void **state)
{
    (void)state;
    struct pair pair;
    struct tls *tls = open_tls();
    int64_t now_us = clock_monotonic_us();
    char byte;
    bool changed;
    open_pair(&pair, tls, NULL, "\x08http/1.1");
    assert_int_equal(shake_hands(&pair), 0);
    (void)SSL_read(pair.client, &byte, 1); /* takes the ticket */
    SSL_SESSION *session = SSL_get1_session(pair.client);
    close_pair(&pair);
    for (int turns = 0; turns < 3; turns++) {
        assert_int_equal(tls_reload(tls, true, &changed, NULL), 0);
        assert_true(changed);
        open_pair(&pair, tls, session, "\x08http/1.1");
        assert_int_equal(shake_hands(&pair), 0);
        assert_int_equal(SSL_session_reused(pair.client), turns < 2);
        close_pair(&pair);
        tls_turn_ticket_keys(tls, now_us + TLS_TICKET_US / 2); /* not yet time */
        now_us += 2 * TLS_TICKET_US;
        tls_turn_ticket_keys(tls, now_us);
    }
    SSL_SESSION_free(session);
    tls_close(&tls);
}

static void test_files(void **state)
{
    (void)state;
    struct err err = {0};
    struct stat st;
    struct tls *tls = open_tls();
    char pin[CERTIFICATE_PIN_BYTES], old[CERTIFICATE_PIN_BYTES];
    bool changed;
    (void)snprintf(old, sizeof old, "%s", tls_pin(tls));
    assert_int_equal(stat(key_path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(certificate_make(certificate_path, key_path, NULL), 0); /* stays */
    assert_int_equal(certificate_pin_file(certificate_path, pin, NULL), 0);
    assert_string_equal(pin, old);
    assert_int_equal(tls_reload(tls, false, &changed, NULL), 0);
    assert_false(changed);

    assert_int_equal(unlink(key_path), 0);
    assert_int_equal(tls_reload(tls, false, &changed, &err), ERR_CONFIG);
    assert_string_equal(tls_pin(tls), old);
    assert_int_equal(tls_reload(tls, false, &changed, &err), 0); /* told once */
    assert_int_equal(certificate_make(certificate_path, key_path, NULL), 0);
    assert_int_equal(tls_reload(tls, false, &changed, &err), 0);
    assert_true(changed);
    assert_string_not_equal(tls_pin(tls), old);
    assert_int_equal(certificate_pin_file(key_path, pin, &err), ERR_INVALID);
    assert_int_equal(certificate_pin_file("/nowhere/tls.crt", pin, &err), ERR_NOT_FOUND);
    assert_int_equal(certificate_make("/nowhere/tls.crt", "/nowhere/tls.key", &err), ERR_NOT_FOUND);
    tls_close(&tls);
}

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL)
        return -1;
    (void)snprintf(certificate_path, sizeof certificate_path, "%s/tls.crt", dir);
    (void)snprintf(key_path, sizeof key_path, "%s/tls.key", dir);
    return certificate_make(certificate_path, key_path, NULL);
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(certificate_path);
    (void)unlink(key_path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_much_both_ways), cmocka_unit_test(test_no_protocol_in_common),
        cmocka_unit_test(test_noise),          cmocka_unit_test(test_endless_new_keys),
        cmocka_unit_test(test_tickets),        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
