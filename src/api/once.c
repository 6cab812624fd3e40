/* SPDX-License-Identifier: Apache-2.0
 *
 * once: a creating request with an Idempotency-Key (draft-ietf-httpapi-idempotency-key-header) is done once
 * and answered alike for 24 hours. What it creates and its answer are kept in one transaction. An answer may
 * hold a new API key's text, which is kept nowhere: so it is sealed with a key that follows from the
 * Idempotency-Key, of which only a hash is kept. What is sealed is the answer's own fields, an empty line and
 * its body. See call.h.
 */
#include "base/clock.h"
#include "call.h"

#include <sodium.h>

enum { KEY_BYTES_MIN = 16, KEY_BYTES_MAX = 128, ANSWER_BYTES = 64 * 1024 };

struct once {
    struct api_call *call;
    int (*handler)(struct api_call *call);
    size_t fields_before;       /* bytes of them that are not the handler's */
    struct account_answer kept; /* its bytes: sealed */
    unsigned char lock[crypto_secretbox_KEYBYTES];
};

static int take_key(struct api_call *call, struct slice *key)
{
    *key = call->request->idempotency_key;
    if (key->n >= 2 && key->p[0] == '"' && key->p[key->n - 1] == '"')
        *key = (struct slice){key->p + 1, key->n - 2};
    bool good = key->n >= KEY_BYTES_MIN && key->n <= KEY_BYTES_MAX;
    for (size_t i = 0; good && i < key->n; i++)
        good = key->p[i] > 0x20 && key->p[i] < 0x7f;
    return good
               ? 0
               : err_set(
                     &call->err, ERR_INVALID,
                     "an Idempotency-Key has %d to %d visible characters that nobody guesses, such as a UUID",
                     KEY_BYTES_MIN, KEY_BYTES_MAX);
}

static void hash_parts(const char *what, const struct slice *parts, size_t count, unsigned char out[32])
{
    crypto_generichash_state state;
    (void)crypto_generichash_init(&state, (const unsigned char *)what, strlen(what), 32);
    for (size_t i = 0; i < count; i++) {
        uint64_t n = parts[i].n;
        (void)crypto_generichash_update(&state, (const unsigned char *)&n, sizeof n);
        if (n > 0)
            (void)crypto_generichash_update(&state, (const unsigned char *)parts[i].p, n);
    }
    (void)crypto_generichash_final(&state, out, 32);
}

/* A key is its caller's own: nobody replays another's answer. */
static void derive(struct once *once, struct slice key)
{
    const struct api_request *request = once->call->request;
    struct slice owner[] = {slice_of(request->caller.name), key};
    struct slice asked[] = {request->method, request->path, request->body};
    once->kept.tenant = request->caller.operator_ ? 0 : request->caller.tenant;
    hash_parts("mail-analytics idempotency key", owner, 2, once->kept.key);
    hash_parts("mail-analytics idempotency lock", owner, 2, once->lock);
    hash_parts("mail-analytics idempotency request", asked, 3, once->kept.request);
}

static int write_plain(const struct once *once, struct buf *out)
{
    const struct buf *fields = once->call->fields;
    int rc = 0;
    if (fields->n > once->fields_before)
        rc = buf_add(out, fields->p + once->fields_before, fields->n - once->fields_before);
    if (rc == 0)
        rc = buf_add(out, "\r\n", 2);
    return rc != 0 ? rc : buf_add_slice(out, buf_slice(once->call->reply));
}

static int read_plain(struct api_call *call, struct slice plain)
{
    while (plain.n >= 2 && memcmp(plain.p, "\r\n", 2) != 0) {
        const char *end = memmem(plain.p, plain.n, "\r\n", 2);
        size_t n = end != NULL ? (size_t)(end - plain.p) + 2 : 0;
        if (n == 0) /* kept by a release that kept bodies alone */
            return buf_add_slice(call->reply, plain);
        int rc = buf_add(call->fields, plain.p, n);
        if (rc != 0)
            return rc;
        plain = (struct slice){plain.p + n, plain.n - n};
    }
    return plain.n < 2 ? 0 : buf_add(call->reply, plain.p + 2, plain.n - 2);
}

static int seal_bytes(const struct once *once, struct slice plain, struct buf *out)
{
    unsigned char nonce[crypto_secretbox_NONCEBYTES];
    randombytes_buf(nonce, sizeof nonce);
    int rc = buf_add(out, nonce, sizeof nonce);
    if (rc == 0)
        rc = buf_reserve(out, crypto_secretbox_MACBYTES + plain.n);
    if (rc != 0)
        return rc;
    (void)crypto_secretbox_easy((unsigned char *)out->p + out->n, (const unsigned char *)plain.p, plain.n,
                                nonce, once->lock);
    out->n += crypto_secretbox_MACBYTES + plain.n;
    return 0;
}

static void forget(struct buf *plain)
{
    if (plain->p != NULL)
        sodium_memzero(plain->p, plain->n);
    buf_fini(plain);
}

static int seal(struct once *once, struct buf *out)
{
    struct buf plain = {.limit = ANSWER_BYTES};
    int rc = write_plain(once, &plain);
    if (rc == ERR_LIMIT)
        rc = err_set(&once->call->err, rc,
                     "the answer is too long to be kept for its Idempotency-Key: ask for less at once");
    if (rc == 0)
        rc = seal_bytes(once, buf_slice(&plain), out);
    forget(&plain);
    return rc;
}

static int replay(struct once *once, struct slice sealed)
{
    struct api_call *call = once->call;
    struct buf plain = {.limit = ANSWER_BYTES};
    size_t n = sealed.n - crypto_secretbox_NONCEBYTES - crypto_secretbox_MACBYTES;
    buf_clear(call->reply);
    int rc = buf_reserve(&plain, n);
    if (rc == 0 && crypto_secretbox_open_easy((unsigned char *)plain.p,
                                              (const unsigned char *)sealed.p + crypto_secretbox_NONCEBYTES,
                                              sealed.n - crypto_secretbox_NONCEBYTES,
                                              (const unsigned char *)sealed.p, once->lock) != 0)
        rc = err_set(&call->err, ERR_CORRUPT, "the answer that was kept is damaged");
    plain.n = rc == 0 ? n : 0;
    if (rc == 0)
        rc = read_plain(call, buf_slice(&plain));
    forget(&plain);
    call->status = once->kept.status;
    return rc != 0 ? rc : buf_addf(call->fields, "Idempotency-Replayed: true\r\n");
}

/* The handler's own transaction is one within this. */
static int do_it(struct once *once, struct account *a, struct err *err)
{
    struct buf sealed = {.limit = ANSWER_BYTES + 1024};
    int rc = once->handler(once->call);
    if (rc != 0)
        return rc;
    rc = seal(once, &sealed);
    once->kept.status = once->call->status;
    once->kept.answer = buf_slice(&sealed);
    if (rc == 0)
        rc = account_answer_keep(a, &once->kept, clock_real_us(), err);
    if (rc != 0) /* what they tell of is not done */
        once->call->fields->n = once->fields_before;
    buf_fini(&sealed);
    return rc;
}

static int found(void *arg, const struct account_answer *answer)
{
    struct once *once = arg;
    if (memcmp(answer->request, once->kept.request, sizeof answer->request) != 0)
        return err_set(&once->call->err, ERR_MISMATCH,
                       "this Idempotency-Key came with another request before: take a new one");
    once->kept.status = answer->status;
    return replay(once, answer->answer);
}

static int in_transaction(struct account *a, void *arg, struct err *err)
{
    struct once *once = arg;
    int rc = account_answer_find(a, &once->kept, clock_real_us(), found, once, err);
    return rc == ERR_NOT_FOUND ? do_it(once, a, err) : rc;
}

int call_once(struct api_call *call, int (*handler)(struct api_call *call))
{
    struct slice key;
    struct once once = {.call = call, .handler = handler, .fields_before = call->fields->n};
    int rc = take_key(call, &key);
    if (rc != 0)
        return rc;
    derive(&once, key);
    rc = account_atomically(call->context->account, in_transaction, &once, &call->err);
    sodium_memzero(once.lock, sizeof once.lock);
    return rc;
}
