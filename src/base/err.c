/* SPDX-License-Identifier: Apache-2.0
 *
 * err: lookups in errors.def and the filling of struct err. See err.h.
 */
#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static const struct err_row {
    const char *name;
    const char *text;
    int http_status;
    bool retryable;
    int exit_status;
} rows[] = {
#define ERROR(code, name, text, http, retryable, exit_status) {name, text, http, retryable, exit_status},
#include "errors.def"
#undef ERROR
};

static const struct err_row ok_row = {"ok", "no error", 200, false, EX_OK};

static const struct err_row *row_of(int code)
{
    if (code == 0)
        return &ok_row;
    if (code <= ERR_FIRST_ || code >= ERR_LAST_)
        code = ERR_IO;
    return &rows[code - ERR_FIRST_ - 1];
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, fmt);
        err->code = code;
        (void)vsnprintf(err->detail, sizeof err->detail, fmt, args);
        va_end(args);
    }
    return code;
}

static int code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        return ERR_FULL;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_DENIED;
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_EXISTS;
    case EADDRINUSE:
    case EBUSY:
        return ERR_BUSY;
    case ENOMEM:
        return ERR_NO_MEMORY;
    default:
        return ERR_IO;
    }
}

int err_errno(struct err *err, int errnum, const char *fmt, ...)
{
    int code = code_of_errno(errnum);
    if (err != NULL) {
        va_list args;
        va_start(args, fmt);
        err->code = code;
        int n = vsnprintf(err->detail, sizeof err->detail, fmt, args);
        va_end(args);
        size_t at = n < 0 ? 0 : (size_t)n;
        if (at < sizeof err->detail)
            (void)snprintf(err->detail + at, sizeof err->detail - at, ": %s", strerror(errnum));
    }
    return code;
}

const char *err_name(int code)
{
    return row_of(code)->name;
}

int err_find(const char *name, size_t n)
{
    for (int code = ERR_FIRST_ + 1; code < ERR_LAST_; code++)
        if (strlen(err_name(code)) == n && memcmp(err_name(code), name, n) == 0)
            return code;
    return 0;
}

const char *err_text(int code)
{
    return row_of(code)->text;
}

int err_http_status(int code)
{
    return row_of(code)->http_status;
}

bool err_retryable(int code)
{
    return row_of(code)->retryable;
}

int err_exit_status(int code)
{
    return row_of(code)->exit_status;
}

const char *err_detail(const struct err *err)
{
    return err->detail[0] != '\0' ? err->detail : err_text(err->code);
}
