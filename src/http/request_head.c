/* SPDX-License-Identifier: Apache-2.0
 *
 * request_head: see request_head.h. Field names: RFC 9110, 5.1; values 5.5; framing RFC 9112, 6.
 */
#include "request_head.h"

#include <stdbool.h>

enum { LENGTH_DIGITS = 18 };

static int refuse(int status, const char *text, const char **why)
{
    *why = text;
    return status;
}

size_t http_head_end(struct slice bytes, size_t *scanned)
{
    size_t from = *scanned > 3 ? *scanned - 3 : 0;
    const char *lf = bytes.n > from ? memchr(bytes.p + from, '\n', bytes.n - from) : NULL;
    while (lf != NULL) {
        size_t next = (size_t)(lf - bytes.p) + 1;
        if (next < bytes.n && bytes.p[next] == '\n')
            return next + 1;
        if (next + 1 < bytes.n && bytes.p[next] == '\r' && bytes.p[next + 1] == '\n')
            return next + 2;
        lf = bytes.n > next ? memchr(bytes.p + next, '\n', bytes.n - next) : NULL;
    }
    *scanned = bytes.n;
    return 0;
}

/* RFC 9110, 5.6.2 */
static bool is_token(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
            return false;
    }
    return s.n > 0;
}

static bool is_value(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool is_target(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f || strchr("\"#<>\\^`{|}", s.p[i]) != NULL)
            return false;
    return s.n > 0;
}

/* Cuts a line that ends with CR LF off *rest; false when it ends otherwise. */
static bool cut_line(struct slice *rest, struct slice *line)
{
    const char *lf = rest->n > 0 ? memchr(rest->p, '\n', rest->n) : NULL;
    if (lf == NULL || lf == rest->p || lf[-1] != '\r')
        return false;
    size_t n = (size_t)(lf - rest->p);
    *line = (struct slice){rest->p, n - 1};
    *rest = (struct slice){lf + 1, rest->n - n - 1};
    return memchr(line->p, '\r', line->n) == NULL;
}

/* "http://host/path" → "/path"; the scheme says nothing that we don't know. */
static bool take_target(struct slice target, struct http_head *out)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(schemes[i]);
        if (target.n > n && slice_equal_nocase((struct slice){target.p, n}, slice_of(schemes[i]))) {
            const char *slash = memchr(target.p + n, '/', target.n - n);
            if (slash == NULL || slash == target.p + n)
                return false;
            target.n -= (size_t)(slash - target.p);
            target.p = slash;
        }
    }
    if (target.p[0] != '/')
        return false;
    const char *mark = memchr(target.p, '?', target.n);
    out->target = out->path = target;
    if (mark != NULL) {
        out->path.n = (size_t)(mark - target.p);
        out->query = (struct slice){mark + 1, target.n - out->path.n - 1};
    }
    return true;
}

static int take_request_line(struct slice line, struct http_head *out, const char **why)
{
    struct slice target, version;
    const char *first = memchr(line.p, ' ', line.n);
    const char *last = memrchr(line.p, ' ', line.n);
    if (first == NULL || first == last)
        return refuse(400, "the request line is not 'METHOD TARGET HTTP/1.1'", why);
    out->method = (struct slice){line.p, (size_t)(first - line.p)};
    target = (struct slice){first + 1, (size_t)(last - first) - 1};
    version = (struct slice){last + 1, line.n - (size_t)(last - line.p) - 1};
    if (!is_token(out->method) || !is_target(target))
        return refuse(400, "the request line has characters that don't belong there", why);
    if (out->method.n > HTTP_METHOD_BYTES)
        return refuse(501, "no method has such a long name", why);
    if (version.n != 8 || memcmp(version.p, "HTTP/", 5) != 0 || version.p[6] != '.')
        return refuse(400, "the request line is not 'METHOD TARGET HTTP/1.1'", why);
    if (version.p[5] != '1' || (version.p[7] != '0' && version.p[7] != '1'))
        return refuse(505, "this server speaks HTTP/1.1", why);
    out->minor = version.p[7] - '0';
    return take_target(target, out) ? 0 : refuse(400, "the target is neither a path nor an http URL", why);
}

static int take_field(struct slice line, struct http_head *out, const char **why)
{
    const char *colon = memchr(line.p, ':', line.n);
    if (line.p[0] == ' ' || line.p[0] == '\t')
        return refuse(400, "a field goes on in the next line", why);
    if (colon == NULL)
        return refuse(400, "a field has no colon", why);
    if (out->field_count == HTTP_FIELDS)
        return refuse(431, "too many fields, at most 100 are taken", why);
    struct http_field *field = &out->fields[out->field_count];
    field->name = (struct slice){line.p, (size_t)(colon - line.p)};
    field->value = slice_trim((struct slice){colon + 1, line.n - field->name.n - 1});
    if (!is_token(field->name))
        return refuse(400, "a field's name has characters that don't belong there", why);
    if (!is_value(field->value))
        return refuse(400, "a field has control characters", why);
    out->field_count++;
    return 0;
}

static const struct http_field *find(const struct http_head *head, const char *name, size_t *count)
{
    const struct http_field *found = NULL;
    *count = 0;
    for (size_t i = head->field_count; i-- > 0;)
        if (slice_equal_nocase(head->fields[i].name, slice_of(name))) {
            found = &head->fields[i];
            ++*count;
        }
    return found;
}

struct slice http_head_field(const struct http_head *head, const char *name)
{
    size_t count;
    const struct http_field *field = find(head, name, &count);
    return field != NULL ? field->value : (struct slice){NULL, 0};
}

static int check_host(const struct http_head *head, const char **why)
{
    size_t count;
    const struct http_field *host = find(head, "Host", &count);
    if (count > 1 || (count == 0 && head->minor > 0))
        return refuse(400, "there must be one Host", why);
    for (size_t i = 0; host != NULL && i < host->value.n; i++)
        if (strchr(" \t/?#@\\,\"<>", host->value.p[i]) != NULL)
            return refuse(400, "Host is not a name or an address", why);
    return 0;
}

static int take_framing(struct http_head *head, const char **why)
{
    size_t lengths, codings;
    const struct http_field *length = find(head, "Content-Length", &lengths);
    const struct http_field *coding = find(head, "Transfer-Encoding", &codings);
    if (lengths + codings > 1)
        return refuse(400, "Content-Length and Transfer-Encoding: one of them, once", why);
    if (coding != NULL) {
        if (head->minor == 0)
            return refuse(400, "HTTP/1.0 has no Transfer-Encoding", why);
        if (!slice_equal_nocase(coding->value, SLICE("chunked")))
            return refuse(501, "the one Transfer-Encoding that is taken is chunked", why);
        head->framing = HTTP_CHUNKED;
    }
    if (length != NULL) {
        if (length->value.n > LENGTH_DIGITS ||
            text_to_u64(length->value, UINT64_MAX, &head->content_length) != 0)
            return refuse(400, "Content-Length is no number", why);
        head->framing = HTTP_LENGTH;
    }
    return 0;
}

static bool keeps_alive(const struct http_head *head)
{
    bool keep = head->minor > 0;
    for (size_t i = 0; i < head->field_count; i++) {
        struct slice rest = head->fields[i].value, option;
        if (!slice_equal_nocase(head->fields[i].name, SLICE("Connection")))
            continue;
        while (slice_split(&rest, ',', &option)) {
            option = slice_trim(option);
            if (slice_equal_nocase(option, SLICE("close")))
                return false;
            keep = keep || slice_equal_nocase(option, SLICE("keep-alive"));
        }
    }
    return keep;
}

static int take_expectation(struct http_head *head, const char **why)
{
    size_t count;
    const struct http_field *expect = find(head, "Expect", &count);
    if (expect == NULL || head->minor == 0)
        return 0;
    head->expects_continue = count == 1 && slice_equal_nocase(expect->value, SLICE("100-continue"));
    return head->expects_continue ? 0 : refuse(417, "the one Expect that is taken is 100-continue", why);
}

int http_head_parse(struct slice head, struct http_head *out, const char **why)
{
    struct slice line, rest = head;
    *out = (struct http_head){0};
    if (memchr(head.p, '\0', head.n) != NULL)
        return refuse(400, "there is a NUL in the head", why);
    if (!cut_line(&rest, &line))
        return refuse(400, "lines end with CR LF", why);
    if (line.n > HTTP_LINE_BYTES)
        return refuse(414, "the request line has more than 8192 bytes", why);
    if (head.n > HTTP_HEAD_BYTES)
        return refuse(431, "the head has more than 16384 bytes", why);
    int status = take_request_line(line, out, why);
    while (status == 0 && rest.n > 0) {
        if (!cut_line(&rest, &line))
            return refuse(400, "lines end with CR LF", why);
        if (line.n == 0)
            break; /* http_head_end stops there, too */
        status = take_field(line, out, why);
    }
    if (status == 0)
        status = check_host(out, why);
    if (status == 0)
        status = take_framing(out, why);
    if (status == 0)
        status = take_expectation(out, why);
    out->keep_alive = status == 0 && keeps_alive(out);
    return status;
}
