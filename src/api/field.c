/* SPDX-License-Identifier: Apache-2.0
 *
 * field: see field.h. Strings are written as RFC 8259, section 7 says.
 */
#include "field.h"

#include <stdarg.h>
#include <stdio.h>

static const char *type_name(const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a text";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_NULL:
        return "null";
    default:
        return "true or false";
    }
}

struct field field_root(const json_t *json, struct err *err)
{
    return (struct field){.json = json, .err = err, .path = "$"};
}

struct field field_member(const struct field *object, const char *name)
{
    struct field member = {.json = json_object_get(object->json, name), .err = object->err};
    (void)snprintf(member.path, sizeof member.path, "%.150s.%.32s", object->path, name);
    return member;
}

struct field field_item(const struct field *array, size_t index)
{
    struct field item = {.json = json_array_get(array->json, index), .err = array->err};
    (void)snprintf(item.path, sizeof item.path, "%.160s[%zu]", array->path, index);
    return item;
}

int field_fail(const struct field *field, int code, const char *fmt, ...)
{
    char detail[ERR_DETAIL_BYTES - FIELD_PATH_BYTES];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(detail, sizeof detail, fmt, args);
    va_end(args);
    return err_set(field->err, code, "%s: %s", field->path, detail);
}

int field_blame(const struct field *field, int rc)
{
    char detail[ERR_DETAIL_BYTES];
    (void)snprintf(detail, sizeof detail, "%s", err_detail(field->err));
    return field_fail(field, rc, "%s", detail);
}

static bool is_allowed(const char *allowed, const char *name)
{
    struct slice rest = slice_of(allowed), word;
    while (slice_split(&rest, ' ', &word))
        if (slice_equal(word, slice_of(name)))
            return true;
    return false;
}

int field_object(const struct field *field, const char *allowed)
{
    const char *name;
    json_t *value;
    if (!json_is_object(field->json))
        return field_fail(field, ERR_INVALID, "must be an object with: %s", allowed);
    json_object_foreach(
        (json_t *)(uintptr_t)field->json, name,
        value) if (!is_allowed(allowed, name)) return field_fail(field, ERR_INVALID,
                                                                 "'%.40s' is not known; allowed are: %s",
                                                                 name, allowed);
    return 0;
}

int field_text(const struct field *object, const char *name, const char *fallback, const char **out)
{
    struct field member = field_member(object, name);
    if (member.json == NULL && fallback == NULL)
        return field_fail(&member, ERR_INVALID, "is missing");
    if (member.json != NULL && !json_is_string(member.json))
        return field_fail(&member, ERR_INVALID, "must be a text, not %s", type_name(member.json));
    *out = member.json != NULL ? json_string_value(member.json) : fallback;
    return 0;
}

int field_bool(const struct field *object, const char *name, bool fallback, bool *out)
{
    struct field member = field_member(object, name);
    if (member.json != NULL && !json_is_boolean(member.json))
        return field_fail(&member, ERR_INVALID, "must be true or false, not %s", type_name(member.json));
    *out = member.json != NULL ? json_is_true(member.json) : fallback;
    return 0;
}

int field_array(const struct field *object, const char *name, size_t max, struct field *out, size_t *count)
{
    *out = field_member(object, name);
    *count = 0;
    if (out->json != NULL && !json_is_array(out->json))
        return field_fail(out, ERR_INVALID, "must be an array, not %s", type_name(out->json));
    if (out->json != NULL)
        *count = json_array_size(out->json);
    return *count <= max ? 0
                         : field_fail(out, ERR_LIMIT, "has %zu items, at most %zu are allowed", *count, max);
}

/* Bytes of the UTF-8 sequence at the start of s, 0 when there is none. */
static size_t sequence(struct slice s)
{
    for (size_t n = 1; n <= 4 && n <= s.n; n++)
        if (text_is_utf8((struct slice){s.p, n}))
            return n;
    return 0;
}

int field_write(struct buf *out, struct slice s)
{
    int rc = buf_add(out, "\"", 1);
    while (rc == 0 && s.n > 0) {
        unsigned char c = (unsigned char)s.p[0];
        size_t step = 1;
        if (c == '"' || c == '\\')
            rc = buf_addf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            rc = buf_addf(out, "\\u%04x", c);
        else if (c < 0x80)
            rc = buf_add(out, s.p, 1);
        else if ((step = sequence(s)) > 0)
            rc = buf_add(out, s.p, step);
        else {
            step = 1;
            rc = buf_add(out, "\\ufffd", 6);
        }
        s = (struct slice){s.p + step, s.n - step};
    }
    return rc != 0 ? rc : buf_add(out, "\"", 1);
}
