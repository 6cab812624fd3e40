/* SPDX-License-Identifier: Apache-2.0
 *
 * policy: see policy.h. One walk over the lines for framing, one for parsing; both check each line alike.
 */
#include "policy.h"

static const struct slice attr_names[POLICY_ATTR_COUNT] = {
#define ATTRIBUTE(name, since, doc) {#name, sizeof #name - 1},
#include "attributes.def"
#undef ATTRIBUTE
};

static const char request_line[] = "request=smtpd_access_policy\n";
enum { REQUEST_LINE_BYTES = sizeof request_line - 1 };

static const char why_no_equals[] = "a line without '='";
static const char why_no_name[] = "a line without a name";
static const char why_nul[] = "a NUL byte";
static const char why_line[] = "a line over 8 KiB";
static const char why_bytes[] = "a request over 32 KiB";
static const char why_lines[] = "more than 128 lines in a request";
static const char why_request[] = "no line request=smtpd_access_policy";
static const char why_cut[] = "a line without its end";
static const char why_behind[] = "bytes behind the empty line";

static int refuse(const char **why, int code, const char *text)
{
    if (why != NULL)
        *why = text;
    return code;
}

/* Checks a line without its newline; *name_bytes is where its '=' stands. */
static int check_line(const char *line, size_t n, size_t *name_bytes, const char **why)
{
    if (n > POLICY_LINE_BYTES)
        return refuse(why, ERR_LIMIT, why_line);
    const char *equals = memchr(line, '=', n);
    if (equals == NULL)
        return refuse(why, ERR_INVALID, why_no_equals);
    if (equals == line)
        return refuse(why, ERR_INVALID, why_no_name);
    *name_bytes = (size_t)(equals - line);
    return 0;
}

static bool has_nul(const char *p, const char *end)
{
    return memchr(p, '\0', (size_t)(end - p)) != NULL;
}

/* Where the line begins that was incomplete when `seen` bytes had come. */
static size_t incomplete_line(const char *p, size_t seen)
{
    const char *newline = seen > 0 ? memrchr(p, '\n', seen) : NULL;
    return newline != NULL ? (size_t)(newline + 1 - p) : 0;
}

static size_t count_lines(const char *p, size_t n)
{
    size_t lines = 0;
    for (const char *at = p; (at = memchr(at, '\n', (size_t)(p + n - at))) != NULL; at++)
        lines++;
    return lines;
}

/* n bytes of whole lines; Postfix sends the request line first, others may not. */
static bool has_request_line(const char *p, size_t n)
{
    if (n < REQUEST_LINE_BYTES)
        return false;
    if (memcmp(p, request_line, REQUEST_LINE_BYTES) == 0)
        return true;
    const char *line = p, *end = p + n;
    while ((line = memmem(line, (size_t)(end - line), request_line, REQUEST_LINE_BYTES)) != NULL) {
        if (line == p || line[-1] == '\n')
            return true;
        line++;
    }
    return false;
}

static int check_whole(const char *p, size_t n, size_t lines, const char **why)
{
    if (lines > POLICY_ATTRS)
        return refuse(why, ERR_LIMIT, why_lines);
    return has_request_line(p, n) ? 0 : refuse(why, ERR_INVALID, why_request);
}

/* No end of the request in these bytes; `line` is where the last, unfinished line begins. */
static int check_tail(const char *line, const char *end, bool full, const char **why)
{
    if ((size_t)(end - line) > POLICY_LINE_BYTES)
        return refuse(why, ERR_LIMIT, why_line);
    return full ? refuse(why, ERR_LIMIT, why_bytes) : ERR_MORE;
}

int policy_frame(struct slice bytes, size_t *seen, size_t *used, const char **why)
{
    size_t window = bytes.n < POLICY_REQUEST_BYTES ? bytes.n : POLICY_REQUEST_BYTES;
    if (window == 0)
        return ERR_MORE;
    size_t looked = seen != NULL && *seen < window ? *seen : 0, first = incomplete_line(bytes.p, looked);
    const char *line = bytes.p + first, *end = bytes.p + window, *newline;
    size_t lines = 0, name_bytes;
    int rc = 0;
    while (rc == 0 && (newline = memchr(line, '\n', (size_t)(end - line))) != NULL && newline != line) {
        rc = check_line(line, (size_t)(newline - line), &name_bytes, why);
        lines++;
        line = newline + 1;
    }
    if (has_nul(bytes.p + first, newline != NULL ? newline : end))
        return refuse(why, ERR_INVALID, why_nul);
    if (rc == 0 && newline == NULL)
        rc = check_tail(line, end, window == POLICY_REQUEST_BYTES, why);
    if (seen != NULL)
        *seen = rc == ERR_MORE ? window : 0;
    if (rc != 0)
        return rc;
    *used = (size_t)(newline + 1 - bytes.p);
    return check_whole(bytes.p, *used - 1, lines + count_lines(bytes.p, first), why);
}

/* The known attribute of that name, guessed first; POLICY_ATTR_COUNT when it is unknown. */
static enum policy_attr find_attr(struct slice name, enum policy_attr guess)
{
    for (size_t i = 0; i < POLICY_ATTR_COUNT; i++) {
        enum policy_attr attr = (enum policy_attr)((guess + i) % POLICY_ATTR_COUNT);
        if (slice_equal(name, attr_names[attr]))
            return attr;
    }
    return POLICY_ATTR_COUNT;
}

int policy_parse(struct slice bytes, struct policy_request *out, const char **why)
{
    memset(out->attr, 0, sizeof out->attr);
    out->other_count = 0;
    if (bytes.n > POLICY_REQUEST_BYTES)
        return refuse(why, ERR_LIMIT, why_bytes);
    if (bytes.n > 0 && has_nul(bytes.p, bytes.p + bytes.n))
        return refuse(why, ERR_INVALID, why_nul);
    const char *line = bytes.p, *end = bytes.p + bytes.n, *newline;
    enum policy_attr guess = 0;
    size_t lines = 0, name_bytes;
    for (; line < end && *line != '\n'; line = newline + 1) {
        newline = memchr(line, '\n', (size_t)(end - line));
        if (newline == NULL)
            return refuse(why, ERR_INVALID, why_cut);
        int rc = check_line(line, (size_t)(newline - line), &name_bytes, why);
        if (rc != 0)
            return rc;
        if (++lines > POLICY_ATTRS)
            return refuse(why, ERR_LIMIT, why_lines);
        struct slice name = {line, name_bytes};
        struct slice value = {line + name_bytes + 1, (size_t)(newline - line) - name_bytes - 1};
        enum policy_attr attr = find_attr(name, guess);
        if (attr != POLICY_ATTR_COUNT && out->attr[attr].p == NULL) {
            out->attr[attr] = value;
            guess = attr + 1;
        } else {
            out->others[out->other_count++] = (struct policy_pair){name, value};
        }
    }
    if (line < end && line + 1 != end)
        return refuse(why, ERR_INVALID, why_behind);
    return check_whole(bytes.p, (size_t)(line - bytes.p), lines, why);
}

const char *policy_attr_name(enum policy_attr attr)
{
    return attr < POLICY_ATTR_COUNT ? attr_names[attr].p : "";
}
