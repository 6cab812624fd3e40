/* SPDX-License-Identifier: Apache-2.0
 *
 * lines: see lines.h.
 */
#include "lines.h"

#include "base/clock.h"
#include "policy/policy.h"

#include <inttypes.h>
#include <jansson.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>

bool lines_next(struct slice *rest, size_t *number, struct slice *line)
{
    while (slice_split(rest, '\n', line)) {
        ++*number;
        if (line->n > 0 && line->p[line->n - 1] == '\r')
            line->n--;
        *line = slice_trim(*line);
        if (line->n > 0)
            return true;
    }
    return false;
}

static int refuse(char *reason, const char *fmt, ...) PRINTF_LIKE(2, 3);

static int refuse(char *reason, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(reason, LINE_REASON_BYTES, fmt, args);
    va_end(args);
    return ERR_INVALID;
}

/* ---- id -------------------------------------------------------------------------------------- */

/* Streams of one name in two sources are two. */
static void name_epoch(struct epoch *epoch, const char *source, const char *stream)
{
    crypto_generichash_state state;
    (void)crypto_generichash_init(&state, (const uint8_t *)"mail-analytics stream", 21, sizeof epoch->b);
    (void)crypto_generichash_update(&state, (const uint8_t *)source, strlen(source) + 1);
    (void)crypto_generichash_update(&state, (const uint8_t *)stream, strlen(stream));
    (void)crypto_generichash_final(&state, epoch->b, sizeof epoch->b);
}

static int take_number(const json_t *value, const char *name, json_int_t least, json_int_t most,
                       uint64_t *out, char *reason)
{
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < least || number > most)
        return refuse(reason, "id.%s is no whole number from %" PRId64 " to %" PRId64, name, (int64_t)least,
                      (int64_t)most);
    *out = (uint64_t)number;
    return 0;
}

static int take_id(const json_t *id, struct line *out, char *reason)
{
    enum { BEFORE_LAST = 1 };
    static const json_int_t last = INT64_MAX - BEFORE_LAST;
    const char *stream = "";
    json_t *source = json_object_get(id, "source"), *named = json_object_get(id, "stream");
    json_t *after = json_object_get(id, "after");
    size_t members = 2U + (named != NULL) + (after != NULL);
    if (!json_is_object(id) || json_object_size(id) != members || !json_is_string(source))
        return refuse(reason, "id is no object of source, seq, and perhaps stream and after");
    if (slice_to_string(slice_of(json_string_value(source)), out->source, sizeof out->source) != 0 ||
        !batch_edge_valid(slice_of(out->source)))
        return refuse(reason, "id.source is no name of 1 to 64 letters, digits, '.', '-', '_'");
    if (named != NULL) {
        if (!json_is_string(named) || json_string_length(named) > LINE_STREAM_BYTES)
            return refuse(reason, "id.stream is no text of at most %d bytes", LINE_STREAM_BYTES);
        stream = json_string_value(named);
    }
    name_epoch(&out->epoch, out->source, stream);
    int rc = take_number(json_object_get(id, "seq"), "seq", 1, last, &out->seq, reason);
    out->after = out->seq - 1;
    if (rc == 0 && after != NULL)
        rc = take_number(after, "after", 0, (json_int_t)out->seq - 1, &out->after, reason);
    return rc;
}

static int take_time(const json_t *time, struct line *out, char *reason)
{
    if (!json_is_string(time) || clock_parse(slice_of(json_string_value(time)), &out->ts_us) != 0)
        return refuse(reason, "time is no RFC 3339 time, such as 2026-11-30T10:00:00.123Z");
    return 0;
}

/* ---- attributes ------------------------------------------------------------------------------ */

static int add_attribute(struct buf *request, const char *name, const json_t *value, char *reason)
{
    const char *text = json_string_value(value);
    if (json_is_null(value))
        return 0;
    if (json_is_integer(value))
        return buf_addf(request, "%s=%" PRId64 "\n", name, (int64_t)json_integer_value(value));
    if (text == NULL)
        return refuse(reason, "member %.40s is no text, whole number or null", name);
    if (name[0] == '\0' || strpbrk(name, "=\n") != NULL || strchr(text, '\n') != NULL)
        return refuse(reason, "member %.40s can't be an attribute of the policy protocol", name);
    int rc = buf_addf(request, "%s=", name);
    if (rc == 0)
        rc = buf_add(request, text, strlen(text));
    return rc == 0 ? buf_add(request, "\n", 1) : rc;
}

static int write_request(json_t *root, struct buf *request, char *reason)
{
    const char *name, *why = "";
    json_t *value;
    size_t used;
    int rc = buf_addf(request, "request=smtpd_access_policy\n");
    json_object_foreach(root, name, value) if (rc == 0 && strcmp(name, "id") != 0 &&
                                               strcmp(name, "time") != 0 && strcmp(name, "request") != 0) rc =
        add_attribute(request, name, value, reason);
    if (rc == 0)
        rc = buf_add(request, "\n", 1);
    if (rc == ERR_LIMIT)
        (void)refuse(reason, "the event has more than %d bytes", POLICY_REQUEST_BYTES);
    if (rc != 0)
        return rc;
    rc = policy_frame(buf_slice(request), NULL, &used, &why);
    if (rc == 0 && used == request->n)
        return 0;
    (void)refuse(reason, "no policy request: %s", why);
    return rc == ERR_LIMIT ? rc : ERR_INVALID;
}

int line_parse(struct slice text, struct line *out, struct buf *request, char *reason)
{
    json_error_t error;
    buf_clear(request);
    reason[0] = '\0';
    if (text.n > LINE_BYTES) {
        (void)refuse(reason, "the line has more than %d bytes", LINE_BYTES);
        return ERR_LIMIT;
    }
    json_t *root = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(root)) {
        json_decref(root);
        return refuse(reason, "no JSON object: %.80s", root == NULL ? error.text : "something else");
    }
    int rc = take_id(json_object_get(root, "id"), out, reason);
    if (rc == 0)
        rc = take_time(json_object_get(root, "time"), out, reason);
    if (rc == 0)
        rc = write_request(root, request, reason);
    json_decref(root);
    return rc;
}
