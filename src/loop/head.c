/* SPDX-License-Identifier: Apache-2.0
 *
 * head: see head.h.
 */
#include "head.h"

static int bad(struct err *err)
{
    return err_set(err, ERR_INVALID, "this is no HTTP/1.1 request");
}

static struct slice without_cr(struct slice line)
{
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    return line;
}

static bool is_graphic(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= 0x20 || (unsigned char)s.p[i] >= 0x7f)
            return false;
    return s.n > 0;
}

static int parse_request_line(struct slice line, struct head *out, struct err *err)
{
    struct slice version;
    if (!slice_split(&line, ' ', &out->method) || !slice_split(&line, ' ', &out->target) ||
        !slice_split(&line, ' ', &version) || line.n > 0)
        return bad(err);
    bool known = slice_equal(version, SLICE("HTTP/1.1")) || slice_equal(version, SLICE("HTTP/1.0"));
    return known && is_graphic(out->method) && is_graphic(out->target) && out->target.p[0] == '/' ? 0
                                                                                                  : bad(err);
}

static int parse_header(struct slice line, size_t max_body_bytes, bool *sized, struct head *out,
                        struct err *err)
{
    struct slice name, value;
    uint64_t n = 0;
    if (memchr(line.p, ':', line.n) == NULL || !slice_split(&line, ':', &name) || !is_graphic(name))
        return bad(err);
    value = slice_trim(line);
    if (slice_equal_nocase(name, SLICE("Transfer-Encoding")))
        return err_set(err, ERR_UNSUPPORTED, "send the body with Content-Length");
    if (!slice_equal_nocase(name, SLICE("Content-Length")))
        return 0;
    int rc = *sized ? ERR_INVALID : text_to_u64(value, max_body_bytes, &n);
    if (rc == ERR_LIMIT)
        return err_set(err, rc, "a body has at most %zu bytes", max_body_bytes);
    *sized = true;
    out->body_bytes = (size_t)n;
    return rc != 0 ? bad(err) : 0;
}

/* Bytes up to and with the empty line; 0: not here yet. */
static size_t head_length(struct slice bytes)
{
    const char *crlf = memmem(bytes.p, bytes.n, "\r\n\r\n", 4), *lf = memmem(bytes.p, bytes.n, "\n\n", 2);
    if (crlf != NULL && (lf == NULL || crlf < lf))
        return (size_t)(crlf - bytes.p) + 4;
    return lf != NULL ? (size_t)(lf - bytes.p) + 2 : 0;
}

int head_parse(struct slice bytes, size_t max_body_bytes, struct head *out, struct err *err)
{
    struct slice line;
    bool sized = false;
    *out = (struct head){0};
    if (bytes.p == NULL || bytes.n == 0)
        return ERR_MORE;
    struct slice window = {bytes.p, bytes.n < HEAD_BYTES ? bytes.n : HEAD_BYTES};
    size_t n = head_length(window);
    if (n == 0)
        return bytes.n < HEAD_BYTES ? ERR_MORE
                                    : err_set(err, ERR_LIMIT, "a head has at most %d bytes", HEAD_BYTES);
    struct slice rest = {bytes.p, n};
    (void)slice_split(&rest, '\n', &line);
    int rc = parse_request_line(without_cr(line), out, err);
    while (rc == 0 && slice_split(&rest, '\n', &line) && (line = without_cr(line)).n > 0)
        rc = parse_header(line, max_body_bytes, &sized, out, err);
    out->body_at = n;
    return rc;
}

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {422, "Unprocessable Content"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {507, "Insufficient Storage"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return status < 500 ? "Request Refused" : "Failed";
}

int head_write(struct buf *out, int status, const char *type, struct slice fields, size_t body_bytes)
{
    int rc = buf_addf(out,
                      "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                      "Cache-Control: no-store\r\nConnection: close\r\n",
                      status, reason_of(status), type, body_bytes);
    if (rc == 0)
        rc = buf_add_slice(out, fields);
    return rc != 0 ? rc : buf_add(out, "\r\n", 2);
}
