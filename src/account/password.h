/* SPDX-License-Identifier: Apache-2.0
 *
 * password: hashes of passwords (Argon2id, RFC 9106, by libsodium). Each takes PASSWORD_MEMORY_BYTES while it
 * works, and no more than PASSWORD_WORKERS work at once in the process. Any thread; within the account room.
 */
#ifndef ACCOUNT_PASSWORD_H
#define ACCOUNT_PASSWORD_H

#include "account.h"

#include <sodium.h>

enum {
    PASSWORD_WORKERS = 2,
    PASSWORD_MEMORY_BYTES = 32 * 1024 * 1024,
    PASSWORD_PASSES = 3,
    PASSWORD_HASH_BYTES = crypto_pwhash_STRBYTES,
};

/* Waits for its turn. ERR_INVALID says what a password looks like; ERR_NO_MEMORY. */
MUST_CHECK int password_hash(const char *password, char out[PASSWORD_HASH_BYTES], struct err *err);
/* 0: it is the one. ERR_UNAUTHENTICATED; ERR_BUSY at once when all workers are. hash "": there is no such
 * user, which takes as long as a wrong password. */
MUST_CHECK int password_check(const char *hash, struct slice password, struct err *err);

#endif
