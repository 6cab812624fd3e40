/* SPDX-License-Identifier: Apache-2.0
 *
 * endpoint: text to socket address and back, and the socket itself. See endpoint.h.
 */
#include "endpoint.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
    struct sockaddr_storage storage;
};

static bool parse_port(struct slice s, uint16_t *port)
{
    uint64_t value;
    if (s.n > 5 || text_to_u64(s, UINT16_MAX, &value) != 0)
        return false;
    *port = (uint16_t)value;
    return true;
}

int endpoint_parse(struct slice text, struct endpoint *out, struct err *err)
{
    *out = (struct endpoint){.kind = ENDPOINT_TCP};
    if (text.n > 5 && memcmp(text.p, "unix:", 5) == 0) {
        out->kind = ENDPOINT_UNIX;
        struct slice path = {text.p + 5, text.n - 5};
        if (path.p[0] == '/' && memchr(path.p, '\0', path.n) == NULL &&
            slice_to_string(path, out->path, sizeof out->path) == 0)
            return 0;
        return err_set(err, ERR_CONFIG, "'%.*s' is no socket path (write unix:/path, at most %d bytes)",
                       (int)text.n, text.p, ENDPOINT_PATH_BYTES - 1);
    }
    const char *colon = text.n > 0 ? memrchr(text.p, ':', text.n) : NULL;
    if (colon != NULL) {
        struct slice host = {text.p, (size_t)(colon - text.p)};
        struct slice port = {colon + 1, text.n - host.n - 1};
        bool any = slice_equal(host, SLICE("*")); /* ip is all zero: [::] */
        bool bare_v6 = host.n > 0 && host.p[0] != '[' && memchr(host.p, ':', host.n) != NULL;
        if (parse_port(port, &out->port) && !bare_v6 && (any || ip_parse(host, &out->ip) == 0))
            return 0;
    }
    return err_set(err, ERR_CONFIG,
                   "'%.*s' is no address to listen on (write 127.0.0.1:9998, [::1]:9998, *:9998 or "
                   "unix:/path)",
                   (int)text.n, text.p);
}

void endpoint_format(const struct endpoint *endpoint, char out[static ENDPOINT_TEXT_BYTES])
{
    if (endpoint->kind == ENDPOINT_UNIX) {
        (void)snprintf(out, ENDPOINT_TEXT_BYTES, "unix:%s", endpoint->path);
        return;
    }
    char ip[IP_TEXT_BYTES];
    ip_format(&endpoint->ip, ip);
    bool v4 = ip_is_v4(&endpoint->ip);
    (void)snprintf(out, ENDPOINT_TEXT_BYTES, "%s%s%s:%u", v4 ? "" : "[", ip, v4 ? "" : "]", endpoint->port);
}

bool endpoint_is_local(const struct endpoint *endpoint)
{
    return endpoint->kind == ENDPOINT_UNIX || ip_is_loopback(&endpoint->ip);
}

static socklen_t to_address(const struct endpoint *endpoint, union address *out)
{
    memset(out, 0, sizeof *out);
    if (endpoint->kind == ENDPOINT_UNIX) {
        out->local.sun_family = AF_UNIX;
        memcpy(out->local.sun_path, endpoint->path, sizeof out->local.sun_path);
        return sizeof out->local;
    }
    if (ip_is_v4(&endpoint->ip)) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(endpoint->port);
        memcpy(&out->v4.sin_addr, endpoint->ip.b + 12, 4);
        return sizeof out->v4;
    }
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(endpoint->port);
    memcpy(&out->v6.sin6_addr, endpoint->ip.b, 16);
    return sizeof out->v6;
}

static bool from_address(const union address *address, struct endpoint *out)
{
    *out = (struct endpoint){.kind = ENDPOINT_TCP};
    switch (address->any.sa_family) {
    case AF_UNIX:
        out->kind = ENDPOINT_UNIX;
        memcpy(out->path, address->local.sun_path, sizeof out->path - 1);
        return true;
    case AF_INET:
        out->port = ntohs(address->v4.sin_port);
        memset(out->ip.b + 10, 0xff, 2);
        memcpy(out->ip.b + 12, &address->v4.sin_addr, 4);
        return true;
    case AF_INET6:
        out->port = ntohs(address->v6.sin6_port);
        memcpy(out->ip.b, &address->v6.sin6_addr, 16);
        return true;
    default:
        return false;
    }
}

/* A socket file that nobody listens on any more may go; one that answers, or no socket at all, may not. */
static void remove_dead_socket(const struct endpoint *endpoint)
{
    struct stat st;
    if (lstat(endpoint->path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    union address address;
    socklen_t size = to_address(endpoint, &address);
    if (connect(fd, &address.any, size) != 0 && errno == ECONNREFUSED)
        (void)unlink(endpoint->path);
    close(fd);
}

static int explain(struct err *err, int errnum, const char *where, enum endpoint_kind kind)
{
    if (errnum == EADDRINUSE)
        return err_set(err, ERR_BUSY, "%s is in use (stop the program that listens there, or choose another)",
                       where);
    if (errnum == EADDRNOTAVAIL || errnum == EAFNOSUPPORT)
        return err_set(err, ERR_CONFIG, "%s is no address of this machine (see `ip address`)", where);
    if (kind == ENDPOINT_UNIX && errnum == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "%s: its directory is missing (make it first)", where);
    return err_errno(err, errnum, "%s cannot be listened on", where);
}

static int bind_socket(const struct endpoint *endpoint, int *fd)
{
    static const int on = 1, off = 0;
    union address address;
    socklen_t size = to_address(endpoint, &address);
    *fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return errno;
    if (endpoint->kind == ENDPOINT_TCP)
        (void)setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address.any.sa_family == AF_INET6)
        (void)setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    mode_t mask = umask(0177); /* nobody connects before the file has its mode */
    int bound = bind(*fd, &address.any, size);
    (void)umask(mask);
    if (bound == 0 && listen(*fd, BACKLOG) == 0)
        return 0;
    int errnum = errno;
    close(*fd);
    *fd = -1;
    return errnum;
}

int endpoint_listen(const struct endpoint *endpoint, int *fd, struct err *err)
{
    static const struct ip any_v6 = {{0}}, any_v4 = {{[10] = 0xff, [11] = 0xff}};
    char where[ENDPOINT_TEXT_BYTES];
    endpoint_format(endpoint, where);
    if (endpoint->kind == ENDPOINT_UNIX)
        remove_dead_socket(endpoint);
    int errnum = bind_socket(endpoint, fd);
    if (errnum == EAFNOSUPPORT && ip_compare(&endpoint->ip, &any_v6) == 0) { /* a kernel without IPv6 */
        struct endpoint v4 = *endpoint;
        v4.ip = any_v4;
        errnum = bind_socket(&v4, fd);
    }
    if (errnum != 0)
        return explain(err, errnum, where, endpoint->kind);
    if (endpoint->kind == ENDPOINT_UNIX &&
        chmod(endpoint->path, endpoint->mode != 0 ? endpoint->mode : 0666) != 0) {
        errnum = errno;
        close(*fd);
        (void)unlink(endpoint->path);
        return err_errno(err, errnum, "%s cannot be opened to other users", where);
    }
    return 0;
}

int endpoint_of_fd(int fd, struct endpoint *out, struct err *err)
{
    union address address = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t size = sizeof address, flag_size = sizeof(int);
    int listening = 0;
    memset(&address, 0, sizeof address);
    if (getsockname(fd, &address.any, &size) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &flag_size) != 0 || listening == 0 ||
        !from_address(&address, out))
        return err_set(err, ERR_CONFIG,
                       "descriptor %d is no listening TCP or unix socket (use ListenStream= in the unit)",
                       fd);
    return 0;
}

int endpoint_peer(int fd, struct ip *out)
{
    union address address;
    struct endpoint peer;
    socklen_t size = sizeof address;
    memset(&address, 0, sizeof address);
    if (getpeername(fd, &address.any, &size) != 0 || !from_address(&address, &peer))
        return ERR_IO;
    *out = peer.ip;
    return 0;
}
