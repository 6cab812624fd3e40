/* SPDX-License-Identifier: Apache-2.0
 *
 * field: a JSON value together with the path that led to it ("$.tenants[0].name"), so that every complaint
 * names the place and says what is allowed. Borrows the document. Pure.
 */
#ifndef API_FIELD_H
#define API_FIELD_H

#include "base/buf.h"

#include <jansson.h>

enum { FIELD_PATH_BYTES = 192 };

struct field {
    const json_t *json; /* NULL: absent */
    struct err *err;
    char path[FIELD_PATH_BYTES];
};

struct field field_root(const json_t *json, struct err *err);
struct field field_member(const struct field *object, const char *name);
struct field field_item(const struct field *array, size_t index);

/* Fills err with "PATH: detail", returns code. */
int field_fail(const struct field *field, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Puts the path before the detail that another room left in err; returns rc. */
int field_blame(const struct field *field, int rc);

/* An object whose members are all in allowed ("name kind subdomains"). */
MUST_CHECK int field_object(const struct field *field, const char *allowed);
/* Members; a missing one gives the fallback, and ERR_INVALID when a text has none (NULL). */
MUST_CHECK int field_text(const struct field *object, const char *name, const char *fallback,
                          const char **out);
MUST_CHECK int field_bool(const struct field *object, const char *name, bool fallback, bool *out);
/* Absent: an empty list. At most max items. */
MUST_CHECK int field_array(const struct field *object, const char *name, size_t max, struct field *out,
                           size_t *count);

/* Appends s as a JSON string, quotes included; bytes that are not UTF-8 become \ufffd. */
MUST_CHECK int field_write(struct buf *out, struct slice s);

#endif
