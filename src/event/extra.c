/* SPDX-License-Identifier: Apache-2.0
 *
 * extra: see extra.h.
 */
#include "extra.h"
#include "event.h"

#include <assert.h>
#include <stdio.h>

enum { TAIL_BYTES = 32 }; /* ,"...":"12345"} */

struct writer {
    char *p;
    size_t n, size;
    bool full, escaped;
};

static void put(struct writer *w, const void *bytes, size_t n)
{
    if (w->full || n > w->size - w->n) {
        w->full = true;
        return;
    }
    memcpy(w->p + w->n, bytes, n);
    w->n += n;
}

static void put_char(struct writer *w, unsigned char c)
{
    char hex[7];
    if (c == '"' || c == '\\') {
        put(w, (char[]){'\\', (char)c}, 2);
    } else if (c < 0x20) {
        (void)snprintf(hex, sizeof hex, "\\u%04x", c);
        put(w, hex, 6);
    } else {
        put(w, &c, 1);
    }
}

static void put_string(struct writer *w, struct slice s)
{
    char plain[TEXT_ESCAPED_MAX(POLICY_LINE_BYTES)];
    assert(s.n <= POLICY_LINE_BYTES);
    if (s.n > 0 && !text_is_utf8(s)) {
        s = (struct slice){plain, text_escape_invalid(s, plain)};
        w->escaped = true;
    }
    put(w, "\"", 1);
    for (size_t i = 0; i < s.n; i++)
        put_char(w, (unsigned char)s.p[i]);
    put(w, "\"", 1);
}

void extra_add(struct extra *extra, struct slice name, struct slice value)
{
    assert(extra->count < EXTRA_PAIRS);
    extra->pairs[extra->count++] = (struct policy_pair){name, value};
}

/* How many of the pairs before `end` from `from` on have that name. */
static size_t count_name(const struct extra *extra, struct slice name, size_t from, size_t end)
{
    size_t count = 0;
    for (size_t i = from; i < end; i++)
        count += slice_equal(extra->pairs[i].name, name);
    return count;
}

/* One member with all values of that name, of which `first` is the first. */
static void put_member(struct writer *w, const struct extra *extra, size_t first, size_t values)
{
    struct slice name = extra->pairs[first].name;
    put(w, w->n == 0 ? "{" : ",", 1);
    put_string(w, name);
    put(w, values == 1 ? ":" : ":[", values == 1 ? 1 : 2);
    for (size_t i = first, left = values; left > 0; i++)
        if (slice_equal(extra->pairs[i].name, name)) {
            put_string(w, extra->pairs[i].value);
            if (--left > 0)
                put(w, ",", 1);
        }
    if (values > 1)
        put(w, "]", 1);
}

size_t extra_write(const struct extra *extra, char *out, bool *escaped)
{
    struct writer w = {.p = out, .size = EVENT_EXTRA_BYTES - TAIL_BYTES};
    size_t left_out = 0;
    if (extra->count == 0)
        return 0;
    for (size_t i = 0; i < extra->count; i++) {
        struct slice name = extra->pairs[i].name;
        if (count_name(extra, name, 0, i) > 0)
            continue;
        size_t before = w.n, values = count_name(extra, name, i, extra->count);
        put_member(&w, extra, i, values);
        if (w.full) {
            left_out += values;
            w.n = before;
            w.full = false;
        }
    }
    if (left_out > 0)
        w.n += (size_t)snprintf(out + w.n, TAIL_BYTES, "%s\"...\":\"%zu\"", w.n == 0 ? "{" : ",", left_out);
    out[w.n++] = '}';
    *escaped |= w.escaped;
    return w.n;
}
