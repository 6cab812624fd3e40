/* SPDX-License-Identifier: Apache-2.0
 *
 * tls: see tls.h.
 */
#include "tls.h"

#include "base/text.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_BYTES = 4096, TICKET_KEYS = 2, TICKET_NAME_BYTES = 16, TICKET_KEY_BYTES = 32 };

/* TLS 1.2 with forward secrecy and authenticated encryption, and nothing else; 1.3 has nothing else. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"
#define GROUPS  "X25519:P-256:P-384"

struct ticket_key {
    bool set;
    unsigned char name[TICKET_NAME_BYTES], cipher[TICKET_KEY_BYTES], mac[TICKET_KEY_BYTES];
};

struct tls {
    SSL_CTX *context;
    struct stat certificate_stat, key_stat;
    struct ticket_key keys[TICKET_KEYS]; /* the first closes, all open */
    int64_t turned_us;
    char pin[CERTIFICATE_PIN_BYTES];
    char certificate_path[PATH_BYTES], key_path[PATH_BYTES];
};

/* ---- tickets ---------------------------------------------------------------------------------- */

static bool make_ticket_key(struct ticket_key *key)
{
    key->set = RAND_bytes(key->name, sizeof key->name) == 1 &&
               RAND_priv_bytes(key->cipher, sizeof key->cipher) == 1 &&
               RAND_priv_bytes(key->mac, sizeof key->mac) == 1;
    return key->set;
}

void tls_turn_ticket_keys(struct tls *tls, int64_t now_us)
{
    struct ticket_key fresh;
    if (now_us - tls->turned_us < TLS_TICKET_US || !make_ticket_key(&fresh))
        return;
    memmove(tls->keys + 1, tls->keys, sizeof tls->keys - sizeof tls->keys[0]);
    tls->keys[0] = fresh;
    OPENSSL_cleanse(&fresh, sizeof fresh);
    tls->turned_us = now_us;
}

static const struct ticket_key *find_ticket_key(const struct tls *tls, const unsigned char *name)
{
    for (size_t i = 0; i < TICKET_KEYS; i++)
        if (tls->keys[i].set && memcmp(tls->keys[i].name, name, TICKET_NAME_BYTES) == 0)
            return &tls->keys[i];
    return NULL;
}

static bool set_mac(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac, sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
        OSSL_PARAM_construct_end()};
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 0 makes a whole handshake of it, 2 a new ticket as well. */
static int on_ticket(SSL *ssl, unsigned char name[16], unsigned char iv[EVP_MAX_IV_LENGTH],
                     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int closing)
{
    struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const struct ticket_key *key = closing ? &tls->keys[0] : find_ticket_key(tls, name);
    if (key == NULL)
        return 0;
    if (closing) {
        memcpy(name, key->name, TICKET_NAME_BYTES);
        if (RAND_bytes(iv, 16) != 1)
            return -1;
    }
    if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, closing) != 1 ||
        !set_mac(mac, key))
        return -1;
    return closing || key == &tls->keys[0] ? 1 : 2;
}

/* ---- the context of one certificate ----------------------------------------------------------- */

/* RFC 7301: what both know, as we like it best; a client that knows neither hears so. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in,
                   unsigned in_n, void *arg)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    (void)ssl;
    (void)arg;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, n, ours, sizeof ours - 1, in, in_n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static bool set_up(SSL_CTX *context, struct tls *tls)
{
    static const unsigned char name[] = "mail-analytics";
    SSL_CTX_set_app_data(context, tls);
    (void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                           SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_timeout(context, (long)(TLS_TICKET_US / US_PER_SECOND));
    SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(context, CIPHERS) == 1 && SSL_CTX_set1_groups_list(context, GROUPS) == 1 &&
           SSL_CTX_set_num_tickets(context, 1) == 1 &&
           SSL_CTX_set_session_id_context(context, name, sizeof name - 1) == 1 &&
           SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket) == 1;
}

/* OpenSSL's own word for what is wrong. */
static int explain(struct err *err, const char *path, const char *what)
{
    char reason[256];
    ERR_error_string_n(ERR_peek_last_error(), reason, sizeof reason);
    const char *last = strrchr(reason, ':');
    ERR_clear_error();
    return err_set(err, ERR_CONFIG, "%s: %s [%s]", path, what, last != NULL ? last + 1 : reason);
}

/* A key with a passphrase would ask at the terminal. */
static int no_passphrase(char *out, int size, int writing, void *arg)
{
    (void)out;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static int load(struct tls *tls, SSL_CTX *context, struct err *err)
{
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(context, tls->certificate_path) != 1)
        return explain(err, tls->certificate_path, "no certificate that can be used");
    if (SSL_CTX_use_PrivateKey_file(context, tls->key_path, SSL_FILETYPE_PEM) != 1)
        return explain(err, tls->key_path, "no key (without a passphrase) that belongs to the certificate");
    if (SSL_CTX_check_private_key(context) != 1)
        return explain(err, tls->key_path, "the key is not the certificate's");
    return 0;
}

static int renew(struct tls *tls, struct err *err)
{
    char pin[CERTIFICATE_PIN_BYTES];
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL || !set_up(context, tls)) {
        SSL_CTX_free(context);
        ERR_clear_error();
        return err_set(err, ERR_NO_MEMORY, "no memory for TLS");
    }
    int rc = load(tls, context, err);
    if (rc == 0 && certificate_pin(SSL_CTX_get0_certificate(context), pin) != 0)
        rc = err_set(err, ERR_CONFIG, "%s: the certificate has no key", tls->certificate_path);
    if (rc != 0) {
        SSL_CTX_free(context);
        return rc;
    }
    memcpy(tls->pin, pin, sizeof pin);
    SSL_CTX_free(tls->context); /* lives on in the connections that began with it */
    tls->context = context;
    return 0;
}

/* ---- its files -------------------------------------------------------------------------------- */

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* What isn't there is like an empty file: reading it tells. */
static bool files_changed(struct tls *tls)
{
    struct stat certificate = {0}, key = {0};
    (void)stat(tls->certificate_path, &certificate);
    (void)stat(tls->key_path, &key);
    bool changed = !same(&certificate, &tls->certificate_stat) || !same(&key, &tls->key_stat);
    tls->certificate_stat = certificate;
    tls->key_stat = key;
    return changed;
}

int tls_reload(struct tls *tls, bool anyway, bool *changed, struct err *err)
{
    *changed = false;
    if (!files_changed(tls) && !anyway)
        return 0;
    int rc = renew(tls, err);
    *changed = rc == 0;
    return rc;
}

int tls_open(struct tls **out, const char *certificate_path, const char *key_path, struct err *err)
{
    bool changed;
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for TLS");
    int rc = slice_to_string(slice_of(certificate_path), tls->certificate_path, PATH_BYTES) != 0 ||
                     slice_to_string(slice_of(key_path), tls->key_path, PATH_BYTES) != 0
                 ? err_set(err, ERR_CONFIG, "certificate %s: the path is too long", certificate_path)
                 : 0;
    tls->turned_us = clock_monotonic_us();
    if (rc == 0 && !make_ticket_key(&tls->keys[0]))
        rc = err_set(err, ERR_IO, "the kernel has no random bytes");
    if (rc == 0)
        rc = tls_reload(tls, true, &changed, err);
    if (rc != 0)
        tls_close(&tls);
    else
        *out = tls;
    return rc;
}

void tls_close(struct tls **tls)
{
    struct tls *self = *tls;
    *tls = NULL;
    if (self == NULL)
        return;
    SSL_CTX_free(self->context);
    OPENSSL_cleanse(self->keys, sizeof self->keys);
    free(self);
}

const char *tls_pin(const struct tls *tls)
{
    return tls->pin;
}

SSL *tls_session(struct tls *tls)
{
    return SSL_new(tls->context);
}
