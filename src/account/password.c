/* SPDX-License-Identifier: Apache-2.0
 *
 * password: see password.h.
 */
#include "password.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t free_again = PTHREAD_COND_INITIALIZER;
static unsigned working;

static bool enter(bool wait)
{
    (void)pthread_mutex_lock(&lock);
    while (wait && working == PASSWORD_WORKERS)
        (void)pthread_cond_wait(&free_again, &lock);
    bool entered = working < PASSWORD_WORKERS;
    working += entered;
    (void)pthread_mutex_unlock(&lock);
    return entered;
}

static void leave(void)
{
    (void)pthread_mutex_lock(&lock);
    working--;
    (void)pthread_cond_signal(&free_again);
    (void)pthread_mutex_unlock(&lock);
}

static bool is_password(struct slice s)
{
    return s.n >= ACCOUNT_PASSWORD_MIN && s.n <= ACCOUNT_PASSWORD_MAX && text_is_utf8(s);
}

int password_hash(const char *password, char out[PASSWORD_HASH_BYTES], struct err *err)
{
    size_t n = strlen(password);
    if (!is_password(slice_of(password)))
        return err_set(err, ERR_INVALID, "a password has %d to %d bytes of UTF-8", ACCOUNT_PASSWORD_MIN,
                       ACCOUNT_PASSWORD_MAX);
    (void)enter(true);
    int failed = crypto_pwhash_str_alg(out, password, n, PASSWORD_PASSES, PASSWORD_MEMORY_BYTES,
                                       crypto_pwhash_ALG_ARGON2ID13);
    leave();
    return failed != 0 ? err_set(err, ERR_NO_MEMORY, "no memory to hash a password") : 0;
}

/* What an unknown name is checked against: the hash of nobody's password, made with the same figures. */
static int check_nothing(struct slice password)
{
    unsigned char key[32], salt[crypto_pwhash_SALTBYTES] = {0};
    (void)!crypto_pwhash(key, sizeof key, password.p, password.n, salt, PASSWORD_PASSES,
                         PASSWORD_MEMORY_BYTES, crypto_pwhash_ALG_ARGON2ID13);
    sodium_memzero(key, sizeof key);
    return -1;
}

int password_check(const char *hash, struct slice password, struct err *err)
{
    bool possible = is_password(password);
    struct slice tried = possible ? password : SLICE("no password at all");
    if (!enter(false))
        return err_set(err, ERR_BUSY, "too many people log in at once: try again in a second");
    int wrong = hash[0] != '\0' ? crypto_pwhash_str_verify(hash, tried.p, tried.n) : check_nothing(tried);
    leave();
    return possible && wrong == 0 ? 0
                                  : err_set(err, ERR_UNAUTHENTICATED, "the name or the password is wrong");
}

void account_password_make(char out[ACCOUNT_PASSWORD_BYTES])
{
    static const char letters[] = "abcdefghjkmnpqrstuvwxyz23456789"; /* none looks like another */
    enum { GROUPS = 5, GROUP = 4 };                                  /* 20 letters: 99 bits */
    size_t n = 0;
    _Static_assert(GROUPS * (GROUP + 1) <= ACCOUNT_PASSWORD_BYTES, "a password with its dashes fits");
    for (size_t i = 0; i < GROUPS * GROUP; i++) {
        if (i > 0 && i % GROUP == 0)
            out[n++] = '-';
        out[n++] = letters[randombytes_uniform(sizeof letters - 1)];
    }
    out[n] = '\0';
}
