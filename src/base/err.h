/* SPDX-License-Identifier: Apache-2.0
 *
 * err: one error table for the whole project (errors.def). A function that can fail returns 0 or one of these
 * negative codes and is marked MUST_CHECK; the detail (which file, which line, what to do) goes to an
 * optional struct err owned by the caller. Three failures are never mixed: the peer's fault is one of these
 * codes and a counter, the environment's is one of these and a retry or a fatal line, our own bug is an
 * assert.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

#define MUST_CHECK             __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

enum err_code {
    ERR_OK_ = 0,
    ERR_FIRST_ = -1000, /* codes count upwards from here and stay negative */
#define ERROR(code, name, text, http, retryable, exit_status) code,
#include "errors.def"
#undef ERROR
    ERR_LAST_
};

enum { ERR_DETAIL_BYTES = 512 };

/* code is 0 or an err_code; detail is a NUL-terminated line without a newline, empty when there is none. */
struct err {
    int code;
    char detail[ERR_DETAIL_BYTES];
};

/* Fills *err (may be NULL) with code and the formatted detail; returns code, so that callers can
 * `return err_set(err, ERR_IO, "%s: %s", path, strerror(errno));`. Any thread. */
int err_set(struct err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Like err_set, with the code picked from errno (ENOSPC, EDQUOT → ERR_FULL; EACCES, EPERM → ERR_DENIED;
 * ENOENT → ERR_NOT_FOUND; EEXIST → ERR_EXISTS; EADDRINUSE, EBUSY → ERR_BUSY; ENOMEM → ERR_NO_MEMORY;
 * else ERR_IO) and ": <strerror>" put behind the detail. */
int err_errno(struct err *err, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Facts about a code. Unknown codes answer like ERR_IO. The texts are static. */
const char *err_name(int code);
int err_find(const char *name, size_t n); /* the code of the name with n bytes; 0: none */
const char *err_text(int code);
int err_http_status(int code);
bool err_retryable(int code);
int err_exit_status(int code); /* sysexits.h; 0 for code 0 */

/* The detail when there is one, else the code's text. Lives as long as *err. */
const char *err_detail(const struct err *err);

#endif
