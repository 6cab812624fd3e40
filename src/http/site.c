/* SPDX-License-Identifier: Apache-2.0
 *
 * site: see site.h. Validators: RFC 9110, 8.8.3 and 13.1.2.
 */
#include "site.h"

#include "accept_encoding.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_BYTES = 128, TAG_BYTES = 64, HASH_BYTES = 8 };

struct site {
    int fd;
};

static const struct type {
    const char *end, *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".json", "application/json"},
    {".map", "application/json"},
    {".webmanifest", "application/manifest+json"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".jpg", "image/jpeg"},
    {".webp", "image/webp"},
    {".avif", "image/avif"},
    {".ico", "image/x-icon"},
    {".woff2", "font/woff2"},
    {".wasm", "application/wasm"},
    {".txt", "text/plain; charset=utf-8"},
};

int site_open(struct site **out, const char *directory, struct err *err)
{
    struct site *site = calloc(1, sizeof *site);
    if (site == NULL)
        return err_set(err, ERR_NO_MEMORY, "no memory for a site");
    site->fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (site->fd < 0) {
        int errnum = errno;
        free(site);
        return errnum == ENOTDIR ? err_set(err, ERR_CONFIG, "%s is no directory", directory)
                                 : err_errno(err, errnum, "%s", directory);
    }
    *out = site;
    return 0;
}

void site_close(struct site **site)
{
    struct site *self = *site;
    *site = NULL;
    if (self == NULL)
        return;
    close(self->fd);
    free(self);
}

/* ---- names -------------------------------------------------------------------------------------- */

static bool is_name(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (c == '\0' || strchr("-_.~+@", c) == NULL))
            return false;
    }
    return s.n > 0 && s.n < NAME_BYTES && s.p[0] != '.';
}

/* Eight letters and more of a hash have a digit among them nearly always; words don't. */
bool site_is_hashed(struct slice name)
{
    const char *end = memrchr(name.p, '.', name.n);
    const char *begin = end != NULL ? memrchr(name.p, '.', (size_t)(end - name.p)) : NULL;
    bool digit = false;
    if (begin == NULL || end - begin <= HASH_BYTES)
        return false;
    for (const char *c = begin + 1; c < end; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '-' || *c == '_';
        digit = digit || (*c >= '0' && *c <= '9');
        if (!letter && (*c < '0' || *c > '9'))
            return false;
    }
    return digit;
}

static const char *type_of(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        size_t end = strlen(types[i].end);
        if (n > end && strcmp(name + n - end, types[i].end) == 0)
            return types[i].type;
    }
    return "application/octet-stream";
}

/* Down to the directory of the path's last part. A descriptor to close, or -1. */
static int walk(const struct site *site, struct slice path, char name[static NAME_BYTES])
{
    struct slice rest = {path.p + 1, path.n - 1}, part;
    int at = fcntl(site->fd, F_DUPFD_CLOEXEC, 0);
    (void)snprintf(name, NAME_BYTES, "index.html");
    while (at >= 0 && rest.n > 0) {
        const char *slash = memchr(rest.p, '/', rest.n);
        part = (struct slice){rest.p, slash != NULL ? (size_t)(slash - rest.p) : rest.n};
        rest = slash != NULL ? (struct slice){slash + 1, rest.n - part.n - 1} : (struct slice){NULL, 0};
        int down = -1;
        if (is_name(part) && slice_to_string(part, name, NAME_BYTES) == 0) {
            if (slash == NULL)
                return at;
            down = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
        close(at);
        at = down;
        (void)snprintf(name, NAME_BYTES, "index.html");
    }
    return at;
}

/* ---- files -------------------------------------------------------------------------------------- */

struct found {
    int fd;
    struct stat st;
    enum http_coding coding;
};

/* Never waits: a FIFO in the directory would. */
static bool open_file(int at, const char *name, struct found *out)
{
    out->fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (out->fd < 0)
        return false;
    if (fstat(out->fd, &out->st) == 0 && S_ISREG(out->st.st_mode))
        return true;
    close(out->fd);
    return false;
}

static unsigned find_codings(int at, const char *name)
{
    char other[NAME_BYTES + 4];
    (void)snprintf(other, sizeof other, "%s.br", name);
    unsigned available = faccessat(at, other, R_OK, 0) == 0 ? HTTP_BR : 0;
    (void)snprintf(other, sizeof other, "%s.gz", name);
    return available | (faccessat(at, other, R_OK, 0) == 0 ? HTTP_GZIP : 0);
}

static bool find(int at, const char *name, struct slice accepts, struct found *out)
{
    char other[NAME_BYTES + 4];
    out->coding = http_choose_coding(accepts, find_codings(at, name));
    if (out->coding != HTTP_IDENTITY) {
        (void)snprintf(other, sizeof other, "%s%s", name, out->coding == HTTP_BR ? ".br" : ".gz");
        if (open_file(at, other, out))
            return true;
    }
    out->coding = HTTP_IDENTITY;
    return open_file(at, name, out);
}

/* ---- the answer --------------------------------------------------------------------------------- */

static void make_tag(const struct found *found, char out[static TAG_BYTES])
{
    static const char *const ends[] = {[HTTP_IDENTITY] = "", [HTTP_GZIP] = "-gz", [HTTP_BR] = "-br"};
    (void)snprintf(out, TAG_BYTES, "\"%llx-%llx%09lx%s\"", (unsigned long long)found->st.st_size,
                   (unsigned long long)found->st.st_mtim.tv_sec, (unsigned long)found->st.st_mtim.tv_nsec,
                   ends[found->coding]);
}

/* Our tags have no comma in them. */
static bool has_tag(struct slice list, const char *tag)
{
    struct slice item;
    while (slice_split(&list, ',', &item)) {
        item = slice_trim(item);
        if (item.n > 2 && item.p[0] == 'W' && item.p[1] == '/')
            item = (struct slice){item.p + 2, item.n - 2};
        if (slice_equal(item, SLICE("*")) || slice_equal(item, slice_of(tag)))
            return true;
    }
    return false;
}

static int add_fields(const struct found *found, const char *name, const char *tag, struct http_reply *reply)
{
    static const char *const codings[] = {[HTTP_IDENTITY] = "",
                                          [HTTP_GZIP] = "Content-Encoding: gzip\r\n",
                                          [HTTP_BR] = "Content-Encoding: br\r\n"};
    bool html = strncmp(reply->type, "text/html", 9) == 0 || strcmp(reply->type, "image/svg+xml") == 0;
    reply->cache = site_is_hashed(slice_of(name)) ? "public, max-age=31536000, immutable" : "no-cache";
    return buf_addf(&reply->fields, "ETag: %s\r\nVary: Accept-Encoding\r\n%s%s", tag, codings[found->coding],
                    html ? SITE_POLICY : "");
}

/* Takes the file. A longer one is read as it is taken, by whom it is asked for. */
static int add_body(struct found *found, struct http_reply *reply)
{
    uint64_t bytes = (uint64_t)found->st.st_size;
    if (bytes > SITE_WHOLE_BYTES)
        return http_reply_file(reply, found->fd, bytes);
    int rc = buf_reserve(&reply->body, (size_t)bytes);
    for (ssize_t n = 1; rc == 0 && n > 0 && reply->body.n<bytes; reply->body.n += n> 0 ? (size_t)n : 0)
        n = read(found->fd, reply->body.p + reply->body.n, (size_t)bytes - reply->body.n);
    close(found->fd);
    return rc == 0 && reply->body.n < bytes ? ERR_IO : rc;
}

static void answer(struct found *found, const char *name, const struct http_request *request,
                   struct http_reply *reply)
{
    char tag[TAG_BYTES];
    make_tag(found, tag);
    reply->type = type_of(name);
    int rc = add_fields(found, name, tag, reply);
    if (rc == 0 && has_tag(http_head_field(request->head, "If-None-Match"), tag)) {
        reply->status = 304;
        close(found->fd);
        return;
    }
    if (rc != 0)
        close(found->fd);
    else
        rc = add_body(found, reply);
    if (rc != 0) {
        buf_clear(&reply->fields);
        reply->cache = NULL;
        http_problem(reply, 503, "the file can't be read");
    }
}

void site_answer(const struct site *site, const struct http_request *request, struct http_reply *reply)
{
    char name[NAME_BYTES];
    struct found found;
    int at = walk(site, request->head->path, name);
    bool there = at >= 0 && find(at, name, http_head_field(request->head, "Accept-Encoding"), &found);
    if (at >= 0)
        close(at);
    if (there)
        answer(&found, name, request, reply);
    else
        http_problem(reply, 404, "there is no such path");
}
